"""Versions from their request to their verdicts: what is shared, and what is judged anew."""

import pytest
from sqlalchemy import func, select

from db.models import Blob, Dataset
from db.repositories.versions import Changes
from db.session import Database
from regraft.contract.verdict import Verdict
from tests.support.jobs import picture, upload
from tests.support.merchants import Merchant
from tests.support.versions import images, version
from worker.station import Station
from worker.supervisor.supervise import supervise

FILES = {
    "mug/1.png": picture(1),
    "mug/2.png": picture(2),
    "mug/again.png": picture(2),
    "mug/text.png": b"no image",
    "plate/3.png": picture(3),
    "plate/4.png": picture(4),
}


@pytest.fixture
def parent(database: Database, ingest_station: Station, acme: Merchant) -> str:
    """A dataset that was really checked: five images are kept and one is left out."""
    dataset_id, job_id = upload(database, acme.tenant_id, FILES)
    supervise(ingest_station, job_id)
    return dataset_id


def _stored(database: Database, merchant: Merchant) -> tuple[int, int]:
    columns = (func.count(), func.sum(Blob.size))
    with database.read() as session:
        count, size = session.execute(
            select(*columns).where(Blob.scope == merchant.tenant_id)
        ).one()
    return count, int(size)


def test_what_stays_is_shared_and_judged_anew(
    database: Database, ingest_station: Station, acme: Merchant, parent: str
) -> None:
    """A relabelled set would be stored twice, or keep counts and warnings that are not its own."""
    before, stored = images(database, parent), _stored(database, acme)
    one, two, again, text, three, four = before
    assert text.sha256 is None
    changes = Changes(relabel={one.id: "plate", four.id: None}, remove=[again.id])
    made = version(ingest_station, acme, parent, changes)
    assert (made.status, made.num_images, made.num_rejected, made.num_unlabelled) == (
        *("ready", 4, 0, 1),
    )
    assert made.classes == [{"name": "mug", "num_images": 1}, {"name": "plate", "num_images": 2}]
    assert [warning["code"] for warning in made.warnings] == ["class_with_one_image"]
    after = images(database, made.id)
    shared = [(row.path, row.sha256, row.thumbnail_sha256, row.width) for row in after]
    assert shared == [
        (row.path, row.sha256, row.thumbnail_sha256, row.width) for row in (one, two, three, four)
    ]
    assert [row.label for row in after] == ["plate", "mug", "plate", None]
    assert not {row.id for row in before} & {row.id for row in after}
    assert _stored(database, acme) == stored
    old = images(database, parent)
    assert [(row.id, row.label) for row in old] == [(row.id, row.label) for row in before]


def test_new_images_are_compared_with_those_that_are_there(
    database: Database, ingest_station: Station, acme: Merchant, parent: str
) -> None:
    """A photo that is sent again under another label would teach a coin toss."""
    files = {
        "cup/5.png": picture(5),
        "cup/3.png": picture(3),
        "cup/bad.jpg": b"text",
    }
    made = version(ingest_station, acme, parent, Changes(), files)
    assert [(row.path, row.verdict) for row in images(database, made.id)] == [
        ("mug/1.png", Verdict.OK),
        ("mug/2.png", Verdict.OK),
        ("mug/again.png", Verdict.OK_DUPLICATE),
        ("plate/3.png", Verdict.CONFLICTING_LABEL),
        ("plate/4.png", Verdict.OK),
        ("cup/5.png", Verdict.OK),
        ("cup/3.png", Verdict.CONFLICTING_LABEL),
        ("cup/bad.jpg", Verdict.NOT_AN_IMAGE),
    ]
    assert (made.num_images, made.num_rejected) == (5, 3)
    assert {one["name"]: one["num_images"] for one in made.classes} == {
        "cup": 1,
        "mug": 3,
        "plate": 1,
    }
    # The picture is right again where the one that was wrong is not added.
    healed = version(ingest_station, acme, parent, Changes(), {"cup/5.png": picture(5)})
    assert (healed.num_images, healed.num_rejected, healed.version) == (6, 0, 3)


def test_a_version_without_two_classes_is_invalid(
    database: Database, ingest_station: Station, acme: Merchant, parent: str
) -> None:
    """A job on it would fail after its merchant has gone home; a class that is added mends it."""
    plates = [row.id for row in images(database, parent) if row.label == "plate"]
    made = version(ingest_station, acme, parent, Changes(remove=plates))
    assert (made.status, made.num_images) == ("invalid", 3)
    assert "at least two" in str(made.status_reason)
    mended = version(ingest_station, acme, made.id, Changes(), {"cup/5.png": picture(5)})
    assert (mended.status, mended.parent_id) == ("ready", made.id)


def test_classes_that_look_alike_are_found_late(
    database: Database, ingest_station: Station, acme: Merchant, parent: str
) -> None:
    """What is in a file that came in parts is known to nobody before it is read."""
    files = {"mug\u200b/5.png": picture(5)}
    with pytest.raises(AssertionError):
        version(ingest_station, acme, parent, Changes(), files)
    with database.read() as session:
        made = session.scalars(select(Dataset).where(Dataset.parent_id == parent)).one()
    assert made.status == "invalid"
    assert "look the same" in str(made.status_reason)
