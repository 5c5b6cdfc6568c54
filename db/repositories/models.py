"""Trained models and their files, as a merchant reads and downloads them."""

from typing import NamedTuple

from sqlalchemy.orm import Session

from core.blobs import SHARED_SCOPE
from db.models import FileSegment, Model, ModelFile
from db.repositories.reading import Slice, Window, by_name, get, newest_first
from db.tenancy import scoped


class ModelWithFiles(NamedTuple):
    """A model and its files by name."""

    model: Model
    files: list[ModelFile]


class Segment(NamedTuple):
    """`length` bytes from `offset` of a blob of the tenant's or of the shared scope."""

    scope: str
    sha256: str
    offset: int
    length: int


class StoredFile(NamedTuple):
    """A file and where its bytes lie, in order; size in bytes."""

    name: str
    size: int
    sha256: str
    segments: tuple[Segment, ...]


def show(session: Session, tenant_id: str, model_id: str) -> ModelWithFiles:
    """Return one model with its files; raises `NotFoundError`."""
    model = get(session, scoped(Model, tenant_id).where(Model.id == model_id), "model")
    return _with_files(session, tenant_id, [model])[0]


def listed(session: Session, tenant_id: str, window: Window) -> Slice[ModelWithFiles]:
    """Return a page of the tenant's models, newest first."""
    page = newest_first(session, scoped(Model, tenant_id), Model.id, "md", window)
    return Slice(_with_files(session, tenant_id, page.rows), page.next_cursor)


def files(session: Session, tenant_id: str, model_id: str, window: Window) -> Slice[ModelFile]:
    """Return a page of a model's files by name; raises `NotFoundError`."""
    get(session, scoped(Model, tenant_id).where(Model.id == model_id), "model")
    query = scoped(ModelFile, tenant_id).where(ModelFile.model_id == model_id)
    return by_name(session, query, ModelFile.name, window)


def stored_file(session: Session, tenant_id: str, model_id: str, name: str) -> StoredFile:
    """Return where a file's bytes lie; raises `NotFoundError` for a model or a file."""
    get(session, scoped(Model, tenant_id).where(Model.id == model_id), "model")
    wanted = scoped(ModelFile, tenant_id).where(
        ModelFile.model_id == model_id, ModelFile.name == name
    )
    file = get(session, wanted, "file")
    segments = scoped(FileSegment, tenant_id).where(
        FileSegment.model_id == model_id,
        FileSegment.file_name == name,
        FileSegment.scope.in_((tenant_id, SHARED_SCOPE)),
    )
    rows = session.scalars(segments.order_by(FileSegment.seq))
    return StoredFile(
        name,
        file.size,
        file.sha256,
        tuple(Segment(row.scope, row.blob_sha256, row.offset, row.length) for row in rows),
    )


def _with_files(session: Session, tenant_id: str, found: list[Model]) -> list[ModelWithFiles]:
    ids = [model.id for model in found]
    files: dict[str, list[ModelFile]] = {model_id: [] for model_id in ids}
    query = scoped(ModelFile, tenant_id).where(ModelFile.model_id.in_(ids))
    for file in session.scalars(query.order_by(ModelFile.name)):
        files[file.model_id].append(file)
    return [ModelWithFiles(model, files[model.id]) for model in found]
