"""A station as a Celery child owns it, with the light trainer in place of the real one."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from core.settings import Settings
from db.session import Database
from tests.support import light_trainer
from tests.support.jobs import ready_dataset
from tests.support.merchants import Merchant
from worker.drain import DrainFlag
from worker.station import Station


@contextmanager
def opened(settings: Settings) -> Iterator[Station]:
    """Yield an open station."""
    station = Station(settings, DrainFlag())
    station.open()
    yield station
    station.close()


@pytest.fixture
def light(settings: Settings) -> Settings:
    """Settings whose trainer trains nothing."""
    return settings.model_copy(update={"trainer_command": light_trainer.COMMAND})


@pytest.fixture
def station(light: Settings) -> Iterator[Station]:
    """An open station."""
    with opened(light) as found:
        yield found


@pytest.fixture
def ingest_station(light: Settings) -> Iterator[Station]:
    """An open station of the class that checks uploads."""
    with opened(light.model_copy(update={"device_class": "ingest"})) as found:
        yield found


@pytest.fixture
def dataset(database: Database, acme: Merchant) -> str:
    """A dataset that is ready."""
    return ready_dataset(database, acme.tenant_id)
