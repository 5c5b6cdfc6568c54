"""The serving process lets go of deleted models by itself, also after the database was away."""

import pytest
from sqlalchemy.exc import OperationalError

from db.repositories import models
from db.repositories.audit import OPERATOR
from db.session import Database
from serve.residents import Residents
from serve.settings import ServeSettings
from tests.serve.conftest import Serving, photo
from tests.support.jobs import wait_for
from tests.support.merchants import Merchant
from tests.support.served import Shelf


@pytest.fixture
def given() -> ServeSettings:
    return ServeSettings(decoders=1, num_threads=1, upkeep=0.05)


def test_a_deleted_model_is_gone_within_moments(
    serving: Serving,
    database: Database,
    shelf: Shelf,
    acme: Merchant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its weights would stay in memory for days."""
    model_id, residents = shelf.add(acme.tenant_id), serving.parts.residents
    assert serving.ask(acme.tenant_id, model_id, [photo()]).status_code == 200
    assert residents._heads
    failed: list[bool] = []

    def away(_residents: Residents) -> int:
        failed.append(True)
        raise OperationalError("SELECT 1", {}, Exception("the database is away"))

    with monkeypatch.context() as patched:
        patched.setattr(Residents, "forget_deleted", away)
        wait_for(lambda: len(failed) > 1)
    with database.write() as session:
        models.remove(session, acme.tenant_id, model_id, OPERATOR)
    wait_for(lambda: not residents._heads)
