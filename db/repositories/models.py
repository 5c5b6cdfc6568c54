"""Trained models and their files, as a merchant reads, downloads and deletes them.

A model is named by a reference (`regraft.contract.refs`); one that was deleted is not found.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, update
from sqlalchemy.orm import Session

from core.blobs import SHARED_SCOPE
from core.refusals import ConflictError, NotFoundError
from db.base import now
from db.lifecycle import answers, drift, model_files
from db.lifecycle.guard import changed
from db.models import DriftWindow, FileSegment, Job, Model, ModelAlias, ModelFile
from db.repositories import audit
from db.repositories.audit import Actor
from db.repositories.reading import Slice, Window, by_name, get, newest_first
from db.tenancy import scoped
from regraft.contract import refs
from regraft.contract.errors import ErrorCode
from regraft.contract.refs import ModelRef
from regraft.contract.registry import AuditAction
from regraft.contract.status import TERMINAL


class ModelWithFiles(NamedTuple):
    """A model, its files and its aliases, both by name, and whether its photos have drifted."""

    model: Model
    files: list[ModelFile]
    aliases: list[str]
    drifted: bool = False


class Segment(NamedTuple):
    """`length` bytes from `offset` of a blob of the tenant's or of the shared scope."""

    scope: str
    sha256: str
    offset: int
    length: int


class StoredFile(NamedTuple):
    """A file of a model and where its bytes lie, in order; size in bytes."""

    model_id: str
    name: str
    size: int
    sha256: str
    segments: tuple[Segment, ...]


def find(session: Session, tenant_id: str, reference: str, *, param: str | None = None) -> Model:
    """Return one model by reference; raises `NotFoundError`."""
    return get(session, _live(tenant_id, reference, param), "model", param=param)


def show(session: Session, tenant_id: str, reference: str) -> ModelWithFiles:
    """Return one model with its files; raises `NotFoundError`."""
    return _with_files(session, tenant_id, [find(session, tenant_id, reference)])[0]


def listed(
    session: Session, tenant_id: str, name: str | None, window: Window
) -> Slice[ModelWithFiles]:
    """Return a page of the tenant's models, or of the versions of one, newest first."""
    query = scoped(Model, tenant_id).where(Model.deleted_at.is_(None))
    if name is not None:
        query = query.where(Model.name == name)
    page = newest_first(session, query, Model.id, "md", window)
    return Slice(_with_files(session, tenant_id, page.rows), page.next_cursor)


def files(session: Session, tenant_id: str, reference: str, window: Window) -> Slice[ModelFile]:
    """Return a page of a model's files by name; raises `NotFoundError`."""
    model = find(session, tenant_id, reference)
    query = scoped(ModelFile, tenant_id).where(ModelFile.model_id == model.id)
    return by_name(session, query, ModelFile.name, window)


def living(session: Session, tenant_id: str, ids: Sequence[str]) -> set[str]:
    """Return those of some ids of models that the tenant has still."""
    query = scoped(Model, tenant_id).where(Model.id.in_(ids), Model.deleted_at.is_(None))
    return set(session.scalars(query.with_only_columns(Model.id)))


def stored_file(session: Session, tenant_id: str, reference: str, name: str) -> StoredFile:
    """Return where a file's bytes lie; raises `NotFoundError` for a model or a file."""
    model = find(session, tenant_id, reference)
    wanted = scoped(ModelFile, tenant_id).where(
        ModelFile.model_id == model.id, ModelFile.name == name
    )
    file = get(session, wanted, "file")
    segments = scoped(FileSegment, tenant_id).where(
        FileSegment.model_id == model.id,
        FileSegment.file_name == name,
        FileSegment.scope.in_((tenant_id, SHARED_SCOPE)),
    )
    rows = session.scalars(segments.order_by(FileSegment.seq))
    return StoredFile(
        model.id,
        name,
        file.size,
        file.sha256,
        tuple(Segment(row.scope, row.blob_sha256, row.offset, row.length) for row in rows),
    )


def file_if_any(session: Session, tenant_id: str, model_id: str, name: str) -> StoredFile | None:
    """Return where a file's bytes lie; None for one that the model has not."""
    try:
        return stored_file(session, tenant_id, model_id, name)
    except NotFoundError:
        return None


def test_dataset(session: Session, tenant_id: str, model: Model) -> str | None:
    """Return the dataset that a model was tested on, if its job named one."""
    job = get(session, scoped(Job, tenant_id).where(Job.id == model.job_id), "job")
    found = job.spec.get("test_dataset")
    return None if found is None else str(found)


def held(session: Session, tenant_id: str, model_id: str) -> Model | None:
    """Return a model that cannot be deleted before this transaction ends; None if it was."""
    query = _live(tenant_id, model_id, None).with_for_update(read=True)
    return session.scalar(query)


def remove(session: Session, tenant_id: str, reference: str, actor: Actor) -> str:
    """Delete a model and its files and return its id; the sweep takes bytes that nobody shares.

    What batches asked it goes too; its row stays for the lineage of others. Raises
    `NotFoundError`, or `ConflictError`
    (`in_use`) while an alias points to it, or a job that has not ended starts from it or asks it.
    """
    query = _live(tenant_id, reference, None).with_for_update(of=Model)
    model = get(session, query, "model")
    _require_unused(session, tenant_id, model)
    model_files.strip(session, model.id, None)
    answers.drop(session, tenant_id, answers.of_model(model.id))
    bury(session, tenant_id, model, actor)
    return model.id


class Behind(NamedTuple):
    """An alias that could be rolled back to a model."""

    name: str
    alias: str
    model_id: str


def bury(
    session: Session, tenant_id: str, model: Model, actor: Actor, **noted: object
) -> list[Behind]:
    """Mark a model as deleted, audit it, and return the aliases that led back to it."""
    before = scoped(ModelAlias, tenant_id).where(ModelAlias.previous_id == model.id)
    led_back = [Behind(row.name, row.alias, model.id) for row in session.scalars(before)]
    back = update(ModelAlias).where(ModelAlias.previous_id == model.id)
    changed(session, back.values(previous_id=None))
    changed(session, update(Model).where(Model.id == model.id).values(deleted_at=now()))
    audit.record(
        session,
        tenant_id,
        actor,
        AuditAction.MODEL_DELETED,
        model.id,
        name=model.name,
        version=model.version,
        job=model.job_id,
        lineage=model.lineage,
        **noted,
    )
    return led_back


def unbury(session: Session, tenant_id: str, ids: list[str], led_back: list[Behind]) -> None:
    """Take back what `bury` did, but for aliases that have moved since."""
    mine = (Model.tenant_id == tenant_id) & Model.id.in_(ids)
    changed(session, update(Model).where(mine).values(deleted_at=None))
    for one in led_back:
        still = (ModelAlias.tenant_id == tenant_id) & (ModelAlias.name == one.name)
        still &= (ModelAlias.alias == one.alias) & ModelAlias.previous_id.is_(None)
        changed(session, update(ModelAlias).where(still).values(previous_id=one.model_id))


def _live(tenant_id: str, reference: str, param: str | None) -> Select[Model]:
    """Return the query of a model that is there; raises `NotFoundError` for no reference."""
    ref = refs.parse(reference)
    if ref is None:
        raise NotFoundError("model", param)
    query = scoped(Model, tenant_id).where(Model.deleted_at.is_(None))
    if ref.alias is None:
        return query.where(_is_version(ref))
    pointing = (ModelAlias.tenant_id == tenant_id) & (ModelAlias.name == ref.name)
    pointing &= (ModelAlias.alias == ref.alias) & (ModelAlias.model_id == Model.id)
    return query.join(ModelAlias, pointing)


def _is_version(ref: ModelRef) -> ColumnElement[bool]:
    if ref.id is not None:
        return Model.id == ref.id
    return (Model.name == ref.name) & (Model.version == ref.version)


def _require_unused(session: Session, tenant_id: str, model: Model) -> None:
    pointing = scoped(ModelAlias, tenant_id).where(ModelAlias.model_id == model.id)
    names = sorted(alias.alias for alias in session.scalars(pointing))
    if names:
        listed = ", ".join(f"{model.name}@{name}" for name in names)
        raise ConflictError(f"The model answers to {listed}.", code=ErrorCode.IN_USE)
    starting = scoped(Job, tenant_id).where(
        Job.status.not_in(TERMINAL), Job.spec["base"]["model"].as_string() == model.id
    )
    job = session.scalar(starting.limit(1))
    if job is not None:
        message = f"The job {job.id}, which has not ended, starts from the model."
        raise ConflictError(message, code=ErrorCode.IN_USE)
    if batches := answers.unended(session, tenant_id, answers.of_model(model.id)):
        message = f"The batch {batches[0]}, which has not ended, asks the model."
        raise ConflictError(message, code=ErrorCode.IN_USE)


def _with_files(session: Session, tenant_id: str, found: list[Model]) -> list[ModelWithFiles]:
    ids = [model.id for model in found]
    files: dict[str, list[ModelFile]] = {model_id: [] for model_id in ids}
    query = scoped(ModelFile, tenant_id).where(ModelFile.model_id.in_(ids))
    for file in session.scalars(query.order_by(ModelFile.name)):
        files[file.model_id].append(file)
    aliases: dict[str, list[str]] = {model_id: [] for model_id in ids}
    pointing = scoped(ModelAlias, tenant_id).where(ModelAlias.model_id.in_(ids))
    for row in session.scalars(pointing.order_by(ModelAlias.alias)):
        aliases[row.model_id].append(row.alias)
    windows = scoped(DriftWindow, tenant_id).where(DriftWindow.model_id.in_(ids))
    drifted = set(session.scalars(drift.newest_drifted(windows)))
    return [
        ModelWithFiles(model, files[model.id], aliases[model.id], model.id in drifted)
        for model in found
    ]
