"""What gunicorn serves: `gunicorn -c api/gunicorn_conf.py api.wsgi:app`."""

from api.app import create_app
from api.settings import ApiSettings, faults
from core.logs import configure
from core.safety import refuse_unsafe
from core.settings import settings

refuse_unsafe(settings(), *faults(ApiSettings(), settings()))
configure("api", settings().log_level)
app = create_app()
