"""Versions of a dataset: their numbers, what they may change, and whose they are."""

import threading
from typing import Any

import pytest
from sqlalchemy import select, update

from core.blobs import BlobInfo
from core.refusals import RefusedError
from core.settings import UploadLimits
from db.models import AuditEntry, Dataset, Image, Job
from db.repositories import versions
from db.repositories.audit import OPERATOR
from db.repositories.versions import Changes, NewVersion
from db.session import Database
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from tests.support.jobs import ready_dataset
from tests.support.merchants import Merchant

LIMITS = UploadLimits(max_classes=3)


def _make(database: Database, merchant: Merchant, parent: str, **given: Any) -> Dataset:
    asked = NewVersion(**{"container": None, "labels": (), "name": None, "metadata": None, **given})
    with database.write() as session:
        return versions.create(session, merchant.tenant_id, parent, asked, OPERATOR, limits=LIMITS)


def _refused(
    database: Database, merchant: Merchant, parent: str, **given: Any
) -> tuple[ErrorCode, str | None]:
    with pytest.raises(RefusedError) as caught:
        _make(database, merchant, parent, **given)
    return caught.value.code, caught.value.param


def _ids(database: Database, dataset: str) -> list[str]:
    query = select(Image.id).where(Image.dataset_id == dataset).order_by(Image.seq)
    with database.read() as session:
        return list(session.scalars(query))


def _set(database: Database, dataset: str, **values: object) -> None:
    with database.write() as session:
        session.execute(update(Dataset).where(Dataset.id == dataset).values(values))


def test_a_version_names_its_parent_and_its_number(database: Database, acme: Merchant) -> None:
    """Nobody could tell which set a model was trained on, or two sets would be version 2."""
    first = ready_dataset(database, acme.tenant_id)
    _set(database, first, user_metadata={"season": "FW26"})
    removed = Changes(remove=_ids(database, first)[:1])
    second = _make(database, acme, first, changes=removed)
    _set(database, second.id, status="ready")
    third = _make(database, acme, second.id, changes=Changes(), name="spring", metadata={})
    branch = _make(database, acme, first, changes=removed)
    made = [(one.parent_id, one.version, one.name) for one in (second, third, branch)]
    assert made == [
        (first, 2, "mugs and plates"),
        (second.id, 3, "spring"),
        (first, 4, "mugs and plates"),
    ]
    assert (second.user_metadata, third.user_metadata) == ({"season": "FW26"}, {})
    with database.read() as session:
        jobs = session.scalars(select(Job.spec).where(Job.dataset_id == second.id)).all()
        noted = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).first()
    assert jobs == [{"dataset": second.id, "parent": first}]
    assert noted is not None
    assert (noted.action, noted.subject) == ("dataset.version_made", second.id)
    counts = {"version": 2, "relabelled": 0, "removed": 1, "added_bytes": 0}
    assert noted.data == {"parent": first, **counts}


def test_versions_made_at_once_have_numbers_of_their_own(
    database: Database, acme: Merchant
) -> None:
    """Two people at work on one set would make the same version."""
    first = ready_dataset(database, acme.tenant_id)
    changes = Changes(remove=_ids(database, first)[:1])
    threads = [
        threading.Thread(target=_make, args=(database, acme, first), kwargs={"changes": changes})
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        numbers = session.scalars(select(Dataset.version).order_by(Dataset.version)).all()
    assert numbers == [1, 2, 3, 4, 5]


def test_only_its_own_images_that_were_kept_are_changed(
    database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """A typing error would be taken for done, or tell that another merchant's image is there."""
    mine, other = (ready_dataset(database, acme.tenant_id) for _ in range(2))
    theirs = ready_dataset(database, zenith.tenant_id)
    good, rejected = _ids(database, mine)
    with database.write() as session:
        corrupt = update(Image).where(Image.id == rejected).values(verdict="corrupt")
        session.execute(corrupt)
    unknown = [rejected, _ids(database, other)[0], _ids(database, theirs)[0], new_id("img")]
    for image in unknown:
        found = _refused(database, acme, mine, changes=Changes(remove=[good, image]))
        assert found == (ErrorCode.NOT_FOUND, "remove.1")
        found = _refused(database, acme, mine, changes=Changes(relabel={image: "mug"}))
        assert found == (ErrorCode.NOT_FOUND, f"relabel.{image}")
    found = _refused(database, zenith, mine, changes=Changes(remove=[good]))
    assert found == (ErrorCode.NOT_FOUND, None)


@pytest.mark.parametrize("status", ["processing", "deleting"])
def test_a_set_that_is_not_checked_takes_no_version(
    database: Database, acme: Merchant, status: str
) -> None:
    """The version would hold half of its images, or some that are being erased."""
    parent = ready_dataset(database, acme.tenant_id)
    changes = Changes(remove=_ids(database, parent)[:1])
    _set(database, parent, status=status)
    refused = _refused(database, acme, parent, changes=changes)
    assert refused == (ErrorCode.DATASET_NOT_READY, None)
    # A set that lacks a class is mended by adding one.
    _set(database, parent, status="invalid")
    assert _make(database, acme, parent, changes=changes).version == 2


def test_classes_are_judged_beside_those_that_are_there(database: Database, acme: Merchant) -> None:
    """Two classes that look the same would be told apart by nobody but the trainer."""
    parent = ready_dataset(database, acme.tenant_id)
    image = _ids(database, parent)[0]
    twin = Changes(relabel={image: "plate\u200b"})
    refused = _refused(database, acme, parent, changes=twin)
    assert refused == (ErrorCode.DATASET_INVALID, "relabel")
    box = BlobInfo("0" * 64, 10)
    for labels, code in (
        (("mug\u00ad",), ErrorCode.DATASET_INVALID),
        (("cup", "bowl"), ErrorCode.TOO_MANY_CLASSES),
    ):
        refused = _refused(database, acme, parent, changes=Changes(), container=box, labels=labels)
        assert refused == (code, "file")


def test_a_set_does_not_grow_without_end(
    database: Database, acme: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version by version one merchant's set would take hours of everybody's database."""
    parent = ready_dataset(database, acme.tenant_id)
    monkeypatch.setattr("tests.db.repositories.test_versions.LIMITS", UploadLimits(max_images=2))
    box = BlobInfo("0" * 64, 10)
    refused = _refused(database, acme, parent, changes=Changes(), container=box)
    assert refused == (ErrorCode.TOO_MANY_ENTRIES, "file")
