"""API keys: what is stored, who is let in, and what a wrong key costs."""

import statistics
import time

import pytest
from sqlalchemy import update

from core.refusals import InvalidError, NotFoundError
from db.base import now
from db.models import ApiKey
from db.repositories import keys
from db.session import Database
from tests.support.merchants import Merchant, create


@pytest.fixture
def made(database: Database, acme: Merchant) -> keys.NewKey:
    """A key as an administrator makes it."""
    with database.write() as session:
        return keys.create_key(session, acme.tenant_id, ("read",), name="shop")


def test_a_key_lets_its_merchant_in(database: Database, acme: Merchant, made: keys.NewKey) -> None:
    """A merchant could not use the key that was just handed out."""
    caller = keys.authenticate(database, made.key)
    assert caller == keys.Caller(acme.tenant_id, acme.name, made.id, ("read",))


def test_the_form_of_a_key(made: keys.NewKey) -> None:
    """Secret scanners and the contract know keys by this form."""
    head, prefix, secret = made.key.split("_", 2)
    assert (head, len(prefix), len(secret)) == ("rg", 8, 43)


def test_the_secret_is_not_stored(database: Database, made: keys.NewKey) -> None:
    """A stolen backup would open every merchant's account."""
    with database.read() as session:
        row = session.get_one(ApiKey, made.id)
    stored = " ".join(str(value) for value in vars(row).values())
    assert made.key.split("_", 2)[2] not in stored


def test_useless_keys(database: Database, made: keys.NewKey) -> None:
    """A guess, a typo or somebody else's prefix would open an account."""
    prefix, secret = made.key.split("_", 2)[1:]
    wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    for key in (
        *("", "rg_", made.key[:-1], made.key + "A", made.key.upper(), f" {made.key}"),
        *(f"rg_{prefix}_{wrong}", f"rg_00000000_{secret}", "rg_' or 1=1_x", "rg_\0", "\ud800"),
    ):
        assert keys.authenticate(database, key) is None


def test_revoked_and_expired_keys(database: Database, acme: Merchant, made: keys.NewKey) -> None:
    """A key that leaked could not be taken back."""
    with database.write() as session:
        short = keys.create_key(session, acme.tenant_id, lifetime=3600.0)
    assert keys.authenticate(database, short.key) is not None
    with database.write() as session:
        expired = update(ApiKey).where(ApiKey.id == short.id).values(expires_at=now() - 1)
        session.execute(expired)
        assert keys.revoke_key(session, acme.tenant_id, made.key.split("_")[1]) == made.id
    assert keys.authenticate(database, short.key) is None
    assert keys.authenticate(database, made.key) is None
    assert keys.authenticate(database, acme.key) is not None


@pytest.mark.parametrize("lifetime", [float("nan"), float("inf"), 0.0, -1.0, 1e308])
def test_a_lifetime_is_a_time(database: Database, acme: Merchant, lifetime: float) -> None:
    """A slip in the number of days would make a key that never expires."""
    with database.write() as session, pytest.raises(InvalidError):
        keys.create_key(session, acme.tenant_id, lifetime=lifetime)


def test_revoking_is_scoped(database: Database, made: keys.NewKey) -> None:
    """One merchant's administrator could lock another merchant out."""
    other = create(database, "Other")
    with database.write() as session, pytest.raises(NotFoundError):
        keys.revoke_key(session, other.tenant_id, made.id)
    assert keys.authenticate(database, made.key) is not None


def test_unknown_scopes(database: Database, acme: Merchant) -> None:
    """A misspelt scope would make a key that opens nothing, or too much."""
    with database.write() as session:
        for scopes in ((), ("root",), ("read", "")):
            with pytest.raises(InvalidError):
                keys.create_key(session, acme.tenant_id, scopes)


def test_merchants_by_name(database: Database, acme: Merchant) -> None:
    """A key made for a name that two merchants share could go to the wrong one."""
    with database.write() as session:
        assert keys.find_merchant(session, acme.name).id == acme.tenant_id
        assert keys.find_merchant(session, acme.tenant_id).id == acme.tenant_id
        twin = keys.create_merchant(session, acme.name)
        assert twin.id != acme.tenant_id
        with pytest.raises(InvalidError):
            keys.find_merchant(session, acme.name)
        with pytest.raises(NotFoundError):
            keys.find_merchant(session, "nobody")


def test_unknown_prefix_takes_as_long_as_a_wrong_secret(
    database: Database, made: keys.NewKey
) -> None:
    """The time of a refusal would tell which prefixes exist."""
    prefix = made.key.split("_")[1]
    seconds: dict[str, list[float]] = {prefix: [], "00000000": []}
    for _ in range(100):
        for tried, found in seconds.items():
            start = time.perf_counter()
            keys.authenticate(database, f"rg_{tried}_{'A' * 43}")
            found.append(time.perf_counter() - start)
    known, unknown = (statistics.median(found) for found in seconds.values())
    # A look-up is one query either way; a second one would double the time.
    assert abs(known - unknown) < 0.5 * max(known, unknown)
