"""Models by reference, their versions, and what deleting one leaves."""

import pytest
from sqlalchemy import select, update

from core.refusals import ConflictError, NotFoundError
from core.settings import Settings
from db.blobs import SqlBlobStore
from db.lifecycle.unreferenced import sweep_blobs
from db.models import Blob, FileSegment, Job, Model, ModelFile
from db.repositories import aliases, models
from db.repositories.aliases import Place
from db.repositories.audit import OPERATOR
from db.repositories.reading import Window
from db.session import Database
from regraft.contract.errors import ErrorCode
from tests.support.api import Api, Trained
from tests.support.merchants import Merchant

NAME = "home-goods"
ALL = Window(100, None)


@pytest.fixture
def versions(settings: Settings, database: Database, acme: Merchant) -> list[Trained]:
    """Two versions of one name, and a model of another name."""
    api = Api(settings, database)
    files = {"model.onnx": [b"shared"]}
    named = ((NAME, 1), (NAME, 2), ("shoes", 1))
    return [api.trained(acme, files, name=name, version=version) for name, version in named]


def point(database: Database, merchant: Merchant, version: int, alias: str = "production") -> None:
    """Point an alias as a merchant does."""
    place = Place(merchant.tenant_id, NAME, alias)
    with database.write() as session:
        assert aliases.apply(session, place, aliases.plan(session, place, version), OPERATOR)


def test_a_model_has_three_spellings(
    database: Database, acme: Merchant, versions: list[Trained]
) -> None:
    """A merchant's code would have to be changed for each new version."""
    point(database, acme, 2)
    wanted = versions[1].model_id
    with database.read() as session:
        for reference in (wanted, f"{NAME}:2", f"{NAME}@production"):
            found = models.show(session, acme.tenant_id, reference)
            assert (found.model.id, found.aliases) == (wanted, ["production"])
            stored = models.stored_file(session, acme.tenant_id, reference, "model.onnx")
            assert stored.model_id == wanted
        for unknown in (f"{NAME}:3", f"{NAME}@staging", "nothing:1", "shoes@production", "md_1"):
            with pytest.raises(NotFoundError):
                models.show(session, acme.tenant_id, unknown)


def test_the_versions_of_one_name(
    database: Database, acme: Merchant, zenith: Merchant, versions: list[Trained]
) -> None:
    """A merchant with many products could not find the version to go back to."""
    with database.read() as session:
        found = models.listed(session, acme.tenant_id, NAME, ALL).rows
        assert [one.model.version for one in found] == [2, 1]
        assert len(models.listed(session, acme.tenant_id, None, ALL).rows) == 3
        assert models.listed(session, zenith.tenant_id, NAME, ALL).rows == []


def test_a_deleted_model_leaves_its_number_and_its_lineage(
    database: Database, acme: Merchant, versions: list[Trained]
) -> None:
    """A version number that is given twice names two models in every log and contract."""
    gone = versions[1].model_id
    with database.write() as session:
        assert models.remove(session, acme.tenant_id, f"{NAME}:2", OPERATOR) == gone
    with database.read() as session:
        with pytest.raises(NotFoundError):
            models.show(session, acme.tenant_id, gone)
        assert [one.model.version for one in models.listed(session, acme.tenant_id, NAME, ALL)[0]]
        row = session.get_one(Model, gone)
        assert (row.version, row.job_id) == (2, versions[1].job_id)
        for table in (ModelFile, FileSegment):
            assert session.scalars(select(table).where(table.model_id == gone)).all() == []
    # Bytes that another model consists of too are still read.
    with database.read() as session:
        file = models.stored_file(session, acme.tenant_id, f"{NAME}:1", "model.onnx")
    (part,) = file.segments
    read = SqlBlobStore(database).read(part.scope, part.sha256, part.offset, part.length)
    assert b"".join(read) == b"shared"


def test_the_sweep_takes_what_the_model_alone_consisted_of(
    settings: Settings, database: Database, acme: Merchant, versions: list[Trained]
) -> None:
    """Deleting would free nothing, or take bytes from under another version."""
    files = {"model.onnx": [b"shared"], "head.safetensors": [b"its own"]}
    gone = Api(settings, database).trained(acme, files, name=NAME, version=3).model_id
    blobs = SqlBlobStore(database)
    with database.write() as session:
        stored = [models.stored_file(session, acme.tenant_id, gone, name) for name in files]
        models.remove(session, acme.tenant_id, gone, OPERATOR)
        session.execute(update(Blob).values(created_at=0.0))
    (shared,), (own,) = (file.segments for file in stored)
    assert sweep_blobs(database) == 1
    assert blobs.find(shared.scope, shared.sha256) is not None
    assert blobs.find(own.scope, own.sha256) is None


def test_what_is_used_stays(database: Database, acme: Merchant, versions: list[Trained]) -> None:
    """The model that answers a shop's customers would vanish under them."""
    point(database, acme, 1)
    with (
        database.write() as session,
        pytest.raises(ConflictError, match=f"{NAME}@production") as it,
    ):
        models.remove(session, acme.tenant_id, f"{NAME}:1", OPERATOR)
    assert it.value.code == ErrorCode.IN_USE
    point(database, acme, 2)
    base = {"base": {"model": versions[0].model_id}}
    job_id = versions[2].job_id
    with database.write() as session:
        changed = update(Job).where(Job.id == job_id)
        session.execute(changed.values(spec=base, status="queued"))
    with database.write() as session, pytest.raises(ConflictError, match=job_id) as it:
        models.remove(session, acme.tenant_id, f"{NAME}:1", OPERATOR)
    assert it.value.code == ErrorCode.IN_USE
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job_id).values(status="failed"))
        models.remove(session, acme.tenant_id, f"{NAME}:1", OPERATOR)
    # It was what the alias named before: there is nothing to roll back to any more.
    with database.read() as session, pytest.raises(ConflictError, match="no other model"):
        aliases.plan(session, Place(acme.tenant_id, NAME, "production"), "previous")


def test_nobody_deletes_anothers(
    database: Database, zenith: Merchant, versions: list[Trained]
) -> None:
    """A competitor could take a shop's model off the air."""
    with database.write() as session:
        for reference in (versions[0].model_id, f"{NAME}:1"):
            with pytest.raises(NotFoundError):
                models.remove(session, zenith.tenant_id, reference, OPERATOR)
