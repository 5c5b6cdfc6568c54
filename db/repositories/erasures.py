"""Erasing a dataset: what was made from it, what stands in the way, and the job that does it.

Once it is asked for the dataset can be used no more, and models that go with it are found no
more; the job deletes the bytes (`db.lifecycle.erasing`). Until then it can be called off
(`db.repositories.called_off`).
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from core.queues import INGEST_CLASS
from core.refusals import ConflictError
from db.lifecycle import answers, model_files
from db.models import (
    Blob,
    Dataset,
    Erasure,
    FeatureImage,
    FeaturePack,
    Image,
    Job,
    Model,
    ModelAlias,
    Upload,
)
from db.repositories import audit, datasets, models
from db.repositories.audit import Actor
from db.repositories.queueing import enqueue
from db.repositories.reading import Slice, Window, get, newest_first
from db.tenancy import scoped
from regraft.contract.erasure import ErasureRequest, MadeFrom
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from regraft.contract.job import DATASETS
from regraft.contract.registry import AuditAction
from regraft.contract.status import TERMINAL, JobKind, JobStatus

_TEST = "test_dataset"
_WITH_PICTURES = ("report.html", "bundle.zip")
_NAMED = 5


class Affected(NamedTuple):
    """A model that came from a dataset, its aliases, and how it did."""

    model: Model
    aliases: list[str]
    made_from: MadeFrom

    @property
    def is_trained(self) -> bool:
        """Whether the images are in its weights, and not only in its report."""
        return self.made_from == "trained"


class _Amounts(NamedTuple):
    """The countable part of a preview."""

    num_images: int
    num_shared: int
    feature_packs: int
    bytes: int


class Preview(NamedTuple):
    """What an erasure would take; `bytes` are those of blobs that nothing else consists of."""

    dataset: Dataset
    num_images: int
    num_shared: int
    feature_packs: int
    bytes: int
    affected: list[Affected]
    versions: list[str]
    jobs: list[str]
    blockers: list[str]


class Shown(NamedTuple):
    """An erasure and the job that does it."""

    erasure: Erasure
    job: Job


def preview(session: Session, tenant_id: str, wanted: ErasureRequest) -> Preview:
    """Return what erasing would take and what stands in its way; raises `NotFoundError`."""
    dataset = datasets.find(session, tenant_id, wanted.dataset, param="dataset")
    affected = _affected(session, tenant_id, dataset.id)
    jobs = _using(session, tenant_id, dataset.id, affected)
    amounts = _amounts(session, tenant_id, dataset)
    first_id = dataset.first_id or dataset.id
    family = (Dataset.first_id == first_id) | (Dataset.id == first_id)
    versions = datasets.live(tenant_id).where(family, Dataset.id != dataset.id)
    return Preview(
        dataset=dataset,
        **amounts._asdict(),
        affected=affected,
        versions=sorted(session.scalars(versions.with_only_columns(Dataset.id))),
        jobs=jobs,
        blockers=_blockers(session, tenant_id, wanted, affected, jobs),
    )


def request(
    session: Session,
    tenant_id: str,
    wanted: ErasureRequest,
    actor: Actor,
    *,
    param: str | None = None,
) -> Shown:
    """Begin to erase a dataset; asked again, return what is under way or try what failed again.

    Raises `NotFoundError`, or `ConflictError` (`in_use`) while a job that has not ended uses it,
    or a model that would go answers to an alias or is what a job starts from.
    """
    query = datasets.live(tenant_id).where(Dataset.id == wanted.dataset)
    dataset = get(session, query.with_for_update(of=Dataset), "dataset", param=param)
    standing = (Erasure.dataset_id == dataset.id) & Erasure.cancelled_at.is_(None)
    known = session.scalar(scoped(Erasure, tenant_id).where(standing))
    if known is not None:
        return _again(session, known)
    affected = _affected(session, tenant_id, dataset.id)
    jobs = _using(session, tenant_id, dataset.id, affected)
    blockers = _blockers(session, tenant_id, wanted, affected, jobs)
    if blockers:
        raise ConflictError(" ".join(blockers), param, ErrorCode.IN_USE)
    erasure_id = new_id("era")
    going = [one.model for one in affected if wanted.models == "delete" and one.is_trained]
    led_back = [
        behind
        for model in going
        for behind in models.bury(session, tenant_id, model, actor, erasure=erasure_id)
    ]
    before = [dataset.status, dataset.status_reason]
    back = {"erasure": erasure_id, "before": before, "led_back": led_back}
    job = _job(dataset, {**back, **_files(session, affected, going)})
    dataset.status, dataset.status_reason = "deleting", "It is being erased."
    enqueue(session, job)
    erasure = Erasure(
        id=erasure_id,
        tenant_id=tenant_id,
        dataset_id=dataset.id,
        dataset_name=dataset.name,
        models=wanted.models,
        job_id=job.id,
        actor=actor.key_id,
        deleted={"models": len(going)},
    )
    session.add(erasure)
    noted = {"name": dataset.name, "models": wanted.models, "erasure": erasure_id}
    audit.record(session, tenant_id, actor, AuditAction.DATASET_DELETED, dataset.id, **noted)
    return Shown(erasure, job)


def show(session: Session, tenant_id: str, erasure_id: str) -> Shown:
    """Return one erasure; raises `NotFoundError`."""
    query = scoped(Erasure, tenant_id).where(Erasure.id == erasure_id)
    return _with_jobs(session, [get(session, query, "erasure")])[0]


def listed(session: Session, tenant_id: str, window: Window) -> Slice[Shown]:
    """Return a page of the tenant's erasures, newest first."""
    page = newest_first(session, scoped(Erasure, tenant_id), Erasure.id, "era", window)
    return Slice(_with_jobs(session, page.rows), page.next_cursor)


def _with_jobs(session: Session, rows: list[Erasure]) -> list[Shown]:
    return [Shown(row, session.get_one(Job, row.job_id)) for row in rows]


def _again(session: Session, known: Erasure) -> Shown:
    """Return an erasure that was asked for before, queued anew where its job failed."""
    job = session.get_one(Job, known.job_id)
    if job.status in TERMINAL - {JobStatus.SUCCEEDED}:
        dataset = session.get_one(Dataset, known.dataset_id)
        job = _job(dataset, job.spec)
        enqueue(session, job)
        known.job_id = job.id
        session.flush()
    return Shown(known, job)


def _files(session: Session, affected: list[Affected], going: list[Model]) -> dict[str, object]:
    """Return which files of each model go, all of them for null, and the blobs they consist of."""
    files = {one.model.id: None if one.model in going else _WITH_PICTURES for one in affected}
    blobs = {
        sha256
        for one in affected
        for sha256 in model_files.consists_of(session, one.model, files[one.model.id])
    }
    return {"files": files, "blobs": sorted(blobs)}


def _job(dataset: Dataset, spec: Mapping[str, object]) -> Job:
    return Job(
        id=new_id("job"),
        tenant_id=dataset.tenant_id,
        kind=JobKind.ERASE,
        device_class=INGEST_CLASS,
        spec={"dataset": dataset.id, **spec},
        dataset_id=dataset.id,
    )


def _uses(dataset_id: str, fields: tuple[str, ...] = DATASETS) -> ColumnElement[bool]:
    """Tell of a job whether it uses a dataset in one of these fields."""
    named = [Job.spec[field].as_string() == dataset_id for field in fields]
    return or_(*named) & (Job.kind != JobKind.ERASE)


def _needs(dataset_id: str) -> ColumnElement[bool]:
    """Tell of a job whether it uses a dataset, or checks a version that was made from it."""
    return _uses(dataset_id, (*DATASETS, datasets.PARENT))


def _unended(session: Session, tenant_id: str, which: ColumnElement[bool]) -> list[str]:
    query = scoped(Job, tenant_id).where(Job.status.not_in(TERMINAL), which)
    return sorted(session.scalars(query.with_only_columns(Job.id)))


def _using(
    session: Session, tenant_id: str, dataset_id: str, affected: list[Affected]
) -> list[str]:
    """Return the jobs under way that read a dataset: it is named, or a model of it is extended."""
    made = [one.model.id for one in affected if one.made_from == "trained"]
    extends = Job.spec["strategy"]["extends"].as_boolean()
    extends &= Job.spec["base"]["model"].as_string().in_(made)
    return _unended(session, tenant_id, _needs(dataset_id) | extends)


def _affected(session: Session, tenant_id: str, dataset_id: str) -> list[Affected]:
    """Return the models that came from a dataset, those that started from them included."""
    of_training = tuple(field for field in DATASETS if field != _TEST)
    trained = _made_by(session, tenant_id, _uses(dataset_id, of_training))
    found = {model.id: model for model in trained}
    while trained:
        from_these = Job.spec["base"]["model"].as_string().in_([model.id for model in trained])
        trained = [
            model for model in _made_by(session, tenant_id, from_these) if model.id not in found
        ]
        found |= {model.id: model for model in trained}
    tested = [
        model
        for model in _made_by(session, tenant_id, _uses(dataset_id, (_TEST,)))
        if model.id not in found
    ]
    aliases = _aliases(session, tenant_id, [*found, *(model.id for model in tested)])
    shown = [Affected(model, aliases.get(model.id, []), "trained") for model in found.values()]
    shown += [Affected(model, aliases.get(model.id, []), "tested") for model in tested]
    return sorted(shown, key=lambda one: one.model.id)


def _made_by(session: Session, tenant_id: str, which: ColumnElement[bool]) -> list[Model]:
    jobs = scoped(Job, tenant_id).where(which).with_only_columns(Job.id)
    query = scoped(Model, tenant_id).where(Model.deleted_at.is_(None), Model.job_id.in_(jobs))
    return list(session.scalars(query))


def _aliases(session: Session, tenant_id: str, ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    query = scoped(ModelAlias, tenant_id).where(ModelAlias.model_id.in_(ids))
    for row in session.scalars(query.order_by(ModelAlias.alias)):
        found.setdefault(row.model_id, []).append(row.alias)
    return found


def _amounts(session: Session, tenant_id: str, dataset: Dataset) -> _Amounts:
    """Return how much of a dataset there is, and how much of it is in no other."""
    other = aliased(Image)
    theirs = (other.tenant_id == tenant_id) & (other.dataset_id != dataset.id)
    mine = scoped(Image, tenant_id).where(Image.dataset_id == dataset.id)
    count = mine.with_only_columns(func.count())
    shared = exists().where(theirs, other.sha256 == Image.sha256)
    own = mine.where(~shared).with_only_columns(Image.sha256)
    of_own = scoped(FeatureImage, tenant_id).where(FeatureImage.image_sha256.in_(own))
    pack_ids = of_own.with_only_columns(FeatureImage.pack_id)
    packs = scoped(FeaturePack, tenant_id).where(FeaturePack.id.in_(pack_ids))
    return _Amounts(
        num_images=session.scalar(count) or 0,
        num_shared=session.scalar(count.where(shared)) or 0,
        feature_packs=session.scalar(packs.with_only_columns(func.count())) or 0,
        bytes=_bytes_alone(session, tenant_id, dataset)
        + int(session.scalar(packs.with_only_columns(func.sum(FeaturePack.size))) or 0),
    )


def _bytes_alone(session: Session, tenant_id: str, dataset: Dataset) -> int:
    """Return the bytes of images, small pictures and upload of a dataset that nothing else uses."""
    other = aliased(Image)
    theirs = (other.tenant_id == tenant_id) & (other.dataset_id != dataset.id)
    mine = scoped(Image, tenant_id).where(Image.dataset_id == dataset.id)
    ours = [
        *(mine.with_only_columns(column) for column in (Image.sha256, Image.thumbnail_sha256)),
        scoped(Dataset, tenant_id)
        .where(Dataset.id == dataset.id)
        .with_only_columns(Dataset.source_sha256),
    ]
    alone = ~or_(
        exists().where(theirs, other.sha256 == Blob.sha256),
        exists().where(theirs, other.thumbnail_sha256 == Blob.sha256),
        exists().where(
            Dataset.tenant_id == tenant_id,
            Dataset.id != dataset.id,
            Dataset.source_sha256 == Blob.sha256,
        ),
        exists().where(Upload.tenant_id == tenant_id, Upload.sha256 == Blob.sha256),
    )
    blobs = (Blob.scope == tenant_id) & or_(*(Blob.sha256.in_(hashes) for hashes in ours)) & alone
    return int(session.scalar(select(func.sum(Blob.size)).where(blobs)) or 0)


def _blockers(
    session: Session,
    tenant_id: str,
    wanted: ErasureRequest,
    affected: list[Affected],
    jobs: list[str],
) -> list[str]:
    """Return a sentence for each thing that must end or be taken away first."""
    found = []
    if jobs:
        found.append(f"Jobs that have not ended use the dataset: {_list(jobs)}.")
    if wanted.models == "keep":
        return found
    for model, aliases, made_from in affected:
        if made_from == "trained" and aliases:
            names = [f"{model.name}@{alias}" for alias in aliases]
            found.append(f"The model {model.id} answers to {_list(names)}.")
    going = [one.model.id for one in affected if one.made_from == "trained"]
    start = Job.spec["base"]["model"].as_string().in_(going)
    if starting := _unended(session, tenant_id, start):
        found.append(f"Jobs that have not ended start from models of it: {_list(starting)}.")
    if asking := answers.unended(session, tenant_id, answers.of_model(*going)):
        found.append(f"Batches that have not ended ask models of it: {_list(asking)}.")
    return found


def _list(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
