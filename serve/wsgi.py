"""What gunicorn serves: `gunicorn -c serve/gunicorn_conf.py serve.wsgi:app`."""

from core.logs import configure
from core.safety import refuse_unsafe
from core.settings import settings
from db.session import Database
from serve.app import create_app
from serve.settings import ServeSettings, faults

_GIVEN = ServeSettings()
refuse_unsafe(settings(), *faults(_GIVEN, settings()))
configure("serve", settings().log_level)
app = create_app(settings(), _GIVEN, Database(settings().app_url))
