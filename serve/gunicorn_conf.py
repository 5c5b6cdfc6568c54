"""gunicorn's settings for the serving process: one worker, so that each backbone is there once."""

from core.safety import refuse_unsafe
from core.settings import settings
from serve.settings import ServeSettings, faults

_GIVEN = ServeSettings()
refuse_unsafe(settings(), *faults(_GIVEN, settings()))

bind = _GIVEN.bind
worker_class = "gthread"
workers = 1
threads = _GIVEN.threads
timeout = 60
graceful_timeout = 15
keepalive = 60  # longer than the API keeps a connection that it does not use
# It would lie in the home folder, and two stacks of one user would share it.
control_socket_disable = True
