"""Aliases move in one guarded step, with their audit row; a stale move writes nothing."""

import threading

import pytest

from core.refusals import ConflictError, InvalidError, NotFoundError
from core.settings import Settings
from db.models import AuditEntry
from db.repositories import aliases, audit, keys, models
from db.repositories.aliases import Place
from db.repositories.audit import OPERATOR, Actor
from db.repositories.reading import Window
from db.session import Database
from tests.support.api import Api
from tests.support.merchants import Merchant

NAME = "home-goods"
ACTOR = Actor("key_1", "req_1")


@pytest.fixture
def place(settings: Settings, database: Database, acme: Merchant) -> Place:
    """An alias that is not there yet, of a name with three versions."""
    api = Api(settings, database)
    for version in (1, 2, 3):
        api.trained(acme, {}, name=NAME, version=version)
    api.trained(acme, {}, name="shoes")
    return Place(acme.tenant_id, NAME, "production")


def point(database: Database, place: Place, to: int | str) -> bool:
    """Plan and apply in one transaction."""
    with database.write() as session:
        return aliases.apply(session, place, aliases.plan(session, place, to), ACTOR)


def version(database: Database, place: Place) -> int:
    """Return the version that the alias points to."""
    with database.read() as session:
        return aliases.show(session, place).model.version


def trail(database: Database, tenant_id: str) -> list[AuditEntry]:
    """Return a tenant's audit entries, newest first."""
    with database.read() as session:
        return audit.listed(session, tenant_id, Window(100, None)).rows


def test_promoted_and_rolled_back(database: Database, place: Place) -> None:
    """A bad release could not be taken back in one call."""
    for to, expected in ((1, 1), (3, 3), ("previous", 1), ("previous", 3), (2, 2)):
        assert point(database, place, to)
        assert version(database, place) == expected
    with database.read() as session:
        live = aliases.live_model(session, place.tenant_id, NAME)
        assert live is not None
        assert live.version == 2
        assert aliases.live_model(session, place.tenant_id, NAME, "staging") is None
        assert aliases.live_model(session, "mer_other", NAME) is None


def test_each_move_is_audited(database: Database, place: Place) -> None:
    """Nobody could tell who put the bad model into production, or when."""
    point(database, place, 1)
    point(database, place, 2)
    point(database, place, "previous")
    with database.write() as session:
        aliases.remove(session, place, ACTOR)
    found = trail(database, place.tenant_id)
    assert [one.action for one in found] == [
        *("alias.removed", "model.rolled_back", "model.promoted", "model.promoted"),
    ]
    assert {(one.actor, one.request_id, one.subject) for one in found} == {
        ("key_1", "req_1", f"{NAME}@production")
    }
    assert [one.data["to"]["version"] for one in found[1:]] == [1, 2, 1]  # type: ignore[index]
    assert found[-1].data["from"] is None


def test_a_move_that_was_overtaken_writes_nothing(database: Database, place: Place) -> None:
    """Two people who promote at once would each believe that theirs is live."""
    point(database, place, 1)
    with database.read() as session:
        stale = aliases.plan(session, place, 2)
    point(database, place, 3)
    before = len(trail(database, place.tenant_id))
    with database.write() as session:
        assert not aliases.apply(session, place, stale, ACTOR)
    assert version(database, place) == 3
    assert len(trail(database, place.tenant_id)) == before


def test_a_model_that_was_deleted_meanwhile_is_not_promoted(
    database: Database, place: Place
) -> None:
    """An alias would point to a model without files."""
    with database.read() as session:
        planned = aliases.plan(session, place, 2)
    with database.write() as session:
        models.remove(session, place.tenant_id, f"{NAME}:2", ACTOR)
        assert not aliases.apply(session, place, planned, ACTOR)
    with database.read() as session, pytest.raises(NotFoundError):
        aliases.show(session, place)


def test_twenty_at_once_make_one_alias(database: Database, place: Place) -> None:
    """The first promotion would be an error for all but one, or two rows."""
    with database.read() as session:
        planned = aliases.plan(session, place, 1)
    won: list[bool] = []

    def promote() -> None:
        with database.write() as session:
            won.append(aliases.apply(session, place, planned, ACTOR))

    threads = [threading.Thread(target=promote) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 19 + [True]
    assert len(trail(database, place.tenant_id)) == 1


def test_where_an_alias_cannot_point(database: Database, place: Place) -> None:
    """An alias would answer with a model of other products."""
    with database.read() as session:
        shoes = models.find(session, place.tenant_id, "shoes:1").id
        with pytest.raises(InvalidError, match="a version of shoes"):
            aliases.plan(session, place, shoes)
        with pytest.raises(NotFoundError):
            aliases.plan(session, place, 4)
        with pytest.raises(NotFoundError):
            aliases.plan(session, place, "previous")
        with pytest.raises(NotFoundError):
            aliases.plan(session, place._replace(tenant_id="mer_other"), 1)
    point(database, place, 1)
    with database.read() as session, pytest.raises(ConflictError, match="no other model"):
        aliases.plan(session, place, "previous")


def test_keys_are_audited_with_the_change(database: Database, acme: Merchant) -> None:
    """A key that an attacker made would leave no trace; one that was refused would leave one."""
    with database.write() as session:
        made = keys.create_key(session, acme.tenant_id, ("read",), name="till")
        keys.revoke_key(session, acme.tenant_id, made.id, by=ACTOR)
        keys.revoke_key(session, acme.tenant_id, made.id, by=ACTOR)
    with database.write() as session:
        keys.create_key(session, acme.tenant_id, by=OPERATOR)
        session.rollback()
    revoked, created = trail(database, acme.tenant_id)
    assert (created.action, created.actor, created.subject) == ("key.created", None, made.id)
    assert created.data["scopes"] == ["read"]
    assert made.key.split("_")[2] not in str(created.data)
    assert (revoked.action, revoked.actor) == ("key.revoked", "key_1")
