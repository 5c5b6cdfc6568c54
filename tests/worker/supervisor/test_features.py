"""Feature packs in the blob store: what one host computed, another finds, and no other merchant."""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy import func, select, update

from core.settings import Settings
from db.blobs import SqlBlobStore
from db.lifecycle.claim import claim
from db.lifecycle.unreferenced import is_referred
from db.models import Blob, BlobChunk, Erasure, FeatureImage, FeaturePack, Image, Job
from db.repositories import erasures, jobs, quotas
from db.repositories.audit import OPERATOR
from db.session import Database
from regraft.contract.erasure import ErasureRequest
from regraft.contract.job import JobSubmission
from tests.support.jobs import ready_dataset
from tests.support.merchants import Merchant
from tests.worker.conftest import opened
from worker.engine.feature_cache import FeatureCache
from worker.engine.messages import FeaturesReport
from worker.station import Station
from worker.supervisor import features
from worker.supervisor.attempt import Attempt
from worker.supervisor.heart import Heart
from worker.supervisor.supervise import supervise

Begin = Callable[..., Attempt]
KEY = {"weights": "abc", "cut": "features"}
WIDTH = 8


@pytest.fixture
def other_host(light: Settings, tmp_path: Path) -> Iterator[Station]:
    """A second worker with a home of its own."""
    with opened(light.model_copy(update={"home": tmp_path / "other home"})) as found:
        yield found


@pytest.fixture
def begin(database: Database) -> Begin:
    """A function that claims a training on a merchant's dataset in a station."""

    def attempt(station: Station, merchant: Merchant, dataset: str) -> Attempt:
        with database.write() as session:
            submission = JobSubmission(dataset=dataset)
            job_id = jobs.submit(session, merchant.tenant_id, submission, "cpu").job.id
        with database.write() as session:
            taken = claim(session, job_id, slot_id=station.slot_id, device_class="cpu", lease=60.0)
        assert taken is not None
        heart = Heart(database, taken, station.settings.timings, time.monotonic())
        workspace = station.places.folder(job_id)
        return Attempt(station, taken, heart, workspace, time.monotonic())

    return attempt


def images_of(database: Database, dataset: str) -> list[str]:
    """Return the hashes of a dataset's images."""
    query = select(Image.sha256).where(Image.dataset_id == dataset).order_by(Image.seq)
    with database.read() as session:
        return [str(sha256) for sha256 in session.scalars(query)]


def cache_of(attempt: Attempt) -> FeatureCache:
    """Return what the trainer of an attempt reads and writes."""
    return FeatureCache(attempt.station.places.cache(attempt.claim.tenant_id), KEY)


def computed(attempt: Attempt, images: list[str]) -> FeaturesReport:
    """Write a pack as a trainer does, other values for each image, and say so."""
    cache = cache_of(attempt)
    rows = [list(hashlib.sha256(name.encode()).digest()[:WIDTH]) for name in images]
    looks = torch.zeros(len(images), 768, dtype=torch.uint8)
    pack = cache.add(images, torch.tensor(rows).half(), looks, 1.0)
    return FeaturesReport(key=cache.key, backbone="resnet18", packs=[pack.stem])


def stored(database: Database) -> list[FeaturePack]:
    """Return all packs in the blob store."""
    with database.read() as session:
        return list(session.scalars(select(FeaturePack).order_by(FeaturePack.id)))


def damage(database: Database, sha256: str) -> None:
    """Flip the last byte of a blob."""
    with database.write() as session:
        row = session.scalars(select(BlobChunk).where(BlobChunk.sha256 == sha256)).one()
        row.data = row.data[:-1] + bytes([row.data[-1] ^ 1])


def test_another_host_finds_what_one_computed(
    *,
    begin: Begin,
    station: Station,
    other_host: Station,
    database: Database,
    acme: Merchant,
    dataset: str,
) -> None:
    """Each host would run the backbone over every image again."""
    first = begin(station, acme, dataset)
    images = images_of(database, dataset)
    features.store(first, computed(first, images))
    second = begin(other_host, acme, dataset)
    mine, theirs = cache_of(first), cache_of(second)
    assert theirs.find(images).rows == {}
    assert features.stage(second, theirs.key) == 1
    found, expected = theirs.find(images), mine.find(images)
    assert {name: row.tolist() for name, row in found.rows.items()} == {
        name: row.tolist() for name, row in expected.rows.items()
    }
    assert features.stage(second, theirs.key) == 0
    another = FeatureCache(other_host.places.cache(acme.tenant_id), {**KEY, "weights": "abd"})
    assert features.stage(second, another.key) == 0


def test_no_merchant_finds_anothers(
    *,
    begin: Begin,
    station: Station,
    other_host: Station,
    database: Database,
    acme: Merchant,
    zenith: Merchant,
    dataset: str,
) -> None:
    """Whether a rival has the same photo could be read from how long a job takes."""
    theirs = ready_dataset(database, zenith.tenant_id)
    assert images_of(database, theirs) == images_of(database, dataset)
    first = begin(station, acme, dataset)
    features.store(first, computed(first, images_of(database, dataset)))
    second = begin(other_host, zenith, theirs)
    assert features.stage(second, cache_of(second).key) == 0


def test_only_what_is_new_is_stored(
    begin: Begin, station: Station, other_host: Station, database: Database, acme: Merchant
) -> None:
    """A thousand jobs on one dataset would store it a thousand times."""
    dataset = ready_dataset(database, acme.tenant_id, 4)
    images = images_of(database, dataset)
    first = begin(station, acme, dataset)
    features.store(first, computed(first, images[:3]))
    second = begin(other_host, acme, dataset)
    report = computed(second, images[:2])
    more = computed(second, images[3:])
    features.store(second, report.model_copy(update={"packs": report.packs + more.packs}))
    features.store(second, more)
    assert [pack.num_images for pack in stored(database)] == [3, 1]


def test_an_image_of_no_dataset_of_the_job_keeps_a_pack_out(
    begin: Begin, station: Station, database: Database, acme: Merchant, dataset: str
) -> None:
    """Features of a dataset that is erased meanwhile would come back with another job."""
    attempt = begin(station, acme, dataset)
    strange = hashlib.sha256(b"of another dataset").hexdigest()
    features.store(attempt, computed(attempt, [*images_of(database, dataset), strange]))
    assert stored(database) == []


def test_whoever_lost_the_job_stores_nothing(
    begin: Begin, station: Station, database: Database, acme: Merchant, dataset: str
) -> None:
    """A worker that slept through an erasure would write its features afterwards."""
    attempt = begin(station, acme, dataset)
    stale = dataclasses.replace(
        attempt, claim=dataclasses.replace(attempt.claim, fence=attempt.claim.fence - 1)
    )
    features.store(stale, computed(attempt, images_of(database, dataset)))
    assert stored(database) == []


@pytest.mark.parametrize("fault", ["altered", "gone"])
def test_a_damaged_pack_is_forgotten_and_said(
    *,
    fault: str,
    begin: Begin,
    station: Station,
    other_host: Station,
    database: Database,
    acme: Merchant,
    dataset: str,
) -> None:
    """A flipped bit in the database would train models on noise, or fail every job."""
    first = begin(station, acme, dataset)
    images = images_of(database, dataset)
    features.store(first, computed(first, images))
    (pack,) = stored(database)
    if fault == "altered":
        damage(database, pack.sha256)
    else:
        with database.write() as session:
            session.delete(session.get_one(Blob, (acme.tenant_id, pack.sha256)))
    second = begin(other_host, acme, dataset)
    cache = cache_of(second)
    assert features.stage(second, cache.key) == 0
    assert (list(cache.folder.glob("*")), stored(database)) == ([], [])
    notes = [note.message for note in second.heart.take_report().notes]
    assert any("damaged" in note for note in notes)
    features.store(second, computed(second, images))
    assert len(stored(database)) == 1


def test_the_store_has_a_bound_and_keeps_what_is_used(
    begin: Begin, station: Station, light: Settings, database: Database, acme: Merchant
) -> None:
    """A cache without a bound would fill the database."""
    dataset = ready_dataset(database, acme.tenant_id, 4)
    images = images_of(database, dataset)
    attempt = begin(station, acme, dataset)
    reports = [computed(attempt, [image]) for image in images[:3]]
    for report in reports:
        features.store(attempt, report)
    sizes = {pack.size for pack in stored(database)}
    features.store(attempt, reports[0])  # used again
    station.settings = light.model_copy(update={"feature_bytes": 3 * max(sizes)})
    features.store(attempt, computed(attempt, images[3:]))
    names = [pack.name for pack in stored(database)]
    assert len(names) == 3
    assert reports[0].packs[0] in names
    assert reports[1].packs[0] not in names
    with database.read() as session:
        referred = select(func.count()).select_from(Blob).where(is_referred())
        count = session.scalar(select(func.count()).select_from(Blob))
        assert session.scalar(referred) == (count or 0) - 1


def test_features_do_not_count_as_stored_bytes(
    begin: Begin, station: Station, database: Database, acme: Merchant, dataset: str
) -> None:
    """Uploads would be refused for a cache that its owner neither asked for nor can delete."""
    attempt = begin(station, acme, dataset)
    with database.read() as session:
        before = quotas.usage(session, acme.tenant_id).stored_bytes
    features.store(attempt, computed(attempt, images_of(database, dataset)))
    assert len(stored(database)) == 1
    with database.read() as session:
        assert quotas.usage(session, acme.tenant_id).stored_bytes == before


def test_an_erasure_takes_the_features_and_counts_them(
    *,
    begin: Begin,
    station: Station,
    ingest_station: Station,
    database: Database,
    acme: Merchant,
    zenith: Merchant,
) -> None:
    """What can be computed back to a photo's likeness would stay after the photo."""
    dataset, theirs = (
        ready_dataset(database, acme.tenant_id),
        ready_dataset(database, zenith.tenant_id),
    )
    for merchant, its in ((acme, dataset), (zenith, theirs)):
        attempt = begin(station, merchant, its)
        features.store(attempt, computed(attempt, images_of(database, its)))
        with database.write() as session:
            session.execute(
                update(Job).where(Job.id == attempt.claim.job_id).values(status="succeeded")
            )
    packs = {pack.tenant_id: pack for pack in stored(database)}
    wanted = ErasureRequest(dataset=dataset)
    with database.read() as session:
        shown = erasures.preview(session, acme.tenant_id, wanted)
        whole = session.scalar(select(func.sum(Blob.size)).where(Blob.scope == acme.tenant_id))
    assert (shown.feature_packs, shown.bytes) == (1, whole)
    with database.write() as session:
        job_id = erasures.request(session, acme.tenant_id, wanted, OPERATOR).job.id
    supervise(ingest_station, job_id)
    with database.read() as session:
        deleted = session.scalars(select(Erasure.deleted)).one()
        rows = session.scalars(select(FeatureImage.tenant_id)).all()
    assert {"feature_packs": 1, "bytes": whole}.items() <= deleted.items()
    assert set(rows) == {zenith.tenant_id}
    blobs = SqlBlobStore(database)
    assert blobs.find(acme.tenant_id, packs[acme.tenant_id].sha256) is None
    assert blobs.find(zenith.tenant_id, packs[zenith.tenant_id].sha256) is not None
