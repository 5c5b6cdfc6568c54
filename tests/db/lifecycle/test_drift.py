"""Windows of traffic: added to, judged when full, told of once, and gone with their model."""

import pytest
from sqlalchemy import select

from db.lifecycle import drift
from db.lifecycle.drift import KEPT, Judgement, Tally
from db.models import DriftWindow
from db.repositories import models
from db.repositories.audit import OPERATOR
from db.session import Database
from regraft.contract.drift import WINDOW
from tests.support.merchants import Merchant
from tests.support.served import Shelf
from tests.support.webhooks import add, deliveries

FAR, NEAR = Judgement(2.0, 1e-9), Judgement(0.1, 0.4)
URL = "https://hooks.example.com/"


@pytest.fixture
def model(database: Database, acme: Merchant) -> str:
    """A model of acme's."""
    return Shelf(database).add(acme.tenant_id)


def _add(
    database: Database, tenant_id: str, model: str, count: int, found: Judgement = NEAR
) -> None:
    with database.write() as session:
        tally = Tally([float(count), 0.5], [count, 0])
        drift.add(session, tenant_id, model, tally, lambda _tally: found)


def _windows(database: Database) -> list[DriftWindow]:
    with database.read() as session:
        return list(session.scalars(select(DriftWindow).order_by(DriftWindow.seq)))


def test_a_window_collects_and_is_judged_when_it_is_full(
    database: Database, acme: Merchant, model: str
) -> None:
    """A judgement of a few photos would be chance; sums that stay would say too much."""
    judged: list[Tally] = []
    for _ in range(2):
        _add(database, acme.tenant_id, model, WINDOW // 2 - 1)
    (window,) = _windows(database)
    assert (window.closed_at, window.num_images) == (None, WINDOW - 2)
    assert window.sums == [WINDOW - 2, 1.0]

    def judge(tally: Tally) -> Judgement:
        judged.append(tally)
        return FAR

    with database.write() as session:
        drift.add(session, acme.tenant_id, model, Tally([9.0, 0.0], [9, 0]), judge)
    (window,) = _windows(database)
    assert judged == [Tally([WINDOW + 7.0, 1.0], [WINDOW + 7, 0])]
    assert (window.drifted, window.shift, window.sums, window.counts) == (True, 2.0, [], [])
    _add(database, acme.tenant_id, model, 30)
    assert [one.closed_at is None for one in _windows(database)] == [False, True]


def test_a_change_is_told_once_and_again_after_it_was_well(
    database: Database, acme: Merchant, zenith: Merchant, model: str
) -> None:
    """A merchant would hear of it with every window, or another would."""
    mine, other = (add(database, one.tenant_id, URL) for one in (acme, zenith))
    for found in (NEAR, FAR, FAR, NEAR, FAR):
        _add(database, acme.tenant_id, model, WINDOW, found)
    told = deliveries(database, mine)
    assert [(one.type, one.subject) for one in told] == [("model.drifted", model)] * 2
    assert deliveries(database, other) == []


def test_old_windows_go(database: Database, acme: Merchant, model: str) -> None:
    """The table would grow with the traffic."""
    for _ in range(KEPT + 5):
        _add(database, acme.tenant_id, model, WINDOW)
    assert len(_windows(database)) <= KEPT


def test_a_model_that_is_not_there_collects_nothing(
    database: Database, acme: Merchant, zenith: Merchant, model: str
) -> None:
    """What was erased would come back with the next flush, or under another merchant."""
    _add(database, zenith.tenant_id, model, 30)
    assert _windows(database) == []
    _add(database, acme.tenant_id, model, 30)
    assert len(_windows(database)) == 1
    with database.write() as session:
        models.remove(session, acme.tenant_id, model, OPERATOR)
    assert _windows(database) == []
    _add(database, acme.tenant_id, model, 30)
    assert _windows(database) == []


def test_sums_of_another_form_begin_anew(database: Database, acme: Merchant, model: str) -> None:
    """A file that was made again in other dimensions would stop every flush."""
    _add(database, acme.tenant_id, model, 30)
    with database.write() as session:
        tally = Tally([1.0, 2.0, 3.0], [20, 1])
        drift.add(session, acme.tenant_id, model, tally, lambda _tally: NEAR)
    (window,) = _windows(database)
    assert (window.sums, window.num_images) == ([1.0, 2.0, 3.0], 21)
