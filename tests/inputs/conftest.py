"""The API that these tests talk to."""

import pytest

from core.settings import Settings
from db.session import Database
from tests.support.api import Api


@pytest.fixture
def api(settings: Settings, database: Database) -> Api:
    """The application over an empty database; the test runs once on each kind."""
    return Api(settings, database)
