"""What gunicorn serves: `gunicorn -c api/gunicorn_conf.py api.wsgi:app`."""

from api.app import create_app
from core.logs import configure
from core.settings import settings

configure("api", settings().log_level)
app = create_app()
