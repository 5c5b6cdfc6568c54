"""Versions of a dataset: what changes from one to the next is noted, and checked by ingest.

A version's images are rows of its own; those that it shares with its parent lie in the same blobs.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import func
from sqlalchemy.orm import Session

from core.blobs import BlobInfo
from core.class_names import check_classes
from core.refusals import ConflictError, NotFoundError, RefusedError
from core.settings import UploadLimits
from db.models import Dataset, Image, Tenant
from db.repositories import audit, datasets
from db.repositories.audit import Actor
from db.repositories.reading import get
from db.tenancy import scoped
from regraft.contract.errors import ErrorCode
from regraft.contract.ids import new_id
from regraft.contract.registry import AuditAction
from regraft.contract.verdict import KEPT

_NO_FILE = BlobInfo("", 0)
_AT_ONCE = 500


@dataclass(frozen=True)
class Changes:
    """New labels by image id, None for none, and the ids of images that are left out."""

    relabel: dict[str, str | None] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)


class NewVersion(NamedTuple):
    """What is asked for; without a name or metadata of its own it takes the parent's.

    `container` is stored in the tenant's scope, and holds these labels as far as they are known.
    """

    changes: Changes
    container: BlobInfo | None
    labels: Collection[str]
    name: str | None
    metadata: dict[str, str] | None


def create(
    session: Session,
    tenant_id: str,
    parent_id: str,
    new: NewVersion,
    actor: Actor,
    *,
    limits: UploadLimits,
) -> Dataset:
    """Insert a dataset's next version and the job that will check it.

    Raises `NotFoundError`, also for an image that is none of the parent's, `ConflictError`
    (`dataset_not_ready`), and `RefusedError` for classes that cannot be or too many images.
    """
    parent = _parent(session, tenant_id, parent_id)
    _check_images(session, tenant_id, parent, new.changes)
    _check_size(parent, new, limits)
    labels = {str(one["name"]) for one in parent.classes}
    _check_labels(labels, new, limits)
    if new.container is not None:
        datasets.hold_container(session, tenant_id, new.container)
    container = new.container or _NO_FILE
    first_id = parent.first_id or parent.id
    version = Dataset(
        id=new_id("ds"),
        tenant_id=tenant_id,
        name=new.name or parent.name,
        version=_next_version(session, tenant_id, first_id),
        parent_id=parent.id,
        first_id=first_id,
        changes={"relabel": new.changes.relabel, "remove": new.changes.remove},
        source_bytes=container.size,
        source_sha256=container.sha256,
        user_metadata=parent.user_metadata if new.metadata is None else new.metadata,
    )
    datasets.begun(session, version)
    counts = {"relabelled": len(new.changes.relabel), "removed": len(new.changes.remove)}
    noted = {"parent": parent.id, "version": version.version, **counts}
    noted["added_bytes"] = container.size
    action = AuditAction.DATASET_VERSION_MADE
    audit.record(session, tenant_id, actor, action, version.id, **noted)
    return version


def _parent(session: Session, tenant_id: str, dataset_id: str) -> Dataset:
    """Return a dataset that was checked, held from an erasure until this transaction ends."""
    query = datasets.live(tenant_id).where(Dataset.id == dataset_id).with_for_update(read=True)
    parent = get(session, query, "dataset")
    if parent.status not in {"ready", "invalid"}:
        message = f"The dataset is {parent.status}: it takes no version now."
        raise ConflictError(message, None, ErrorCode.DATASET_NOT_READY)
    return parent


def _check_images(session: Session, tenant_id: str, parent: Dataset, changes: Changes) -> None:
    """Raise `NotFoundError` for the first image that the parent has not, or has not kept."""
    params = {f"relabel.{one}": one for one in changes.relabel}
    params |= {f"remove.{place}": one for place, one in enumerate(changes.remove)}
    wanted = sorted(set(params.values()))
    known: set[str] = set()
    for start in range(0, len(wanted), _AT_ONCE):
        query = scoped(Image, tenant_id).where(
            Image.dataset_id == parent.id,
            Image.id.in_(wanted[start : start + _AT_ONCE]),
            Image.verdict.in_(KEPT),
        )
        known.update(session.scalars(query.with_only_columns(Image.id)))
    for param, one in params.items():
        if one not in known:
            raise NotFoundError("image in the dataset that was kept", param)


def _check_size(parent: Dataset, new: NewVersion, limits: UploadLimits) -> None:
    left = parent.num_images - len(new.changes.remove)
    if new.container is not None and left >= limits.max_images:
        message = f"A dataset of {limits.max_images} images takes no more: begin another one."
        raise RefusedError(ErrorCode.TOO_MANY_ENTRIES, message, "file")


def _check_labels(before: set[str], new: NewVersion, limits: UploadLimits) -> None:
    """Check all classes side by side; the fault is where the first new one comes from."""
    given = {label for label in new.changes.relabel.values() if label is not None}
    for labels, param in ((before | given, "relabel"), (before | given | {*new.labels}, "file")):
        check_classes(labels, limits, 0, param)


def _next_version(session: Session, tenant_id: str, first_id: str) -> int:
    """Return the number of a family's next version, holding the tenant until this transaction ends.

    An erased version's row stays, so no number is used twice.
    """
    tenant = session.get_one(Tenant, tenant_id)
    session.refresh(tenant, with_for_update={"key_share": True})
    family = scoped(Dataset, tenant_id).where(Dataset.first_id == first_id)
    return (session.scalar(family.with_only_columns(func.max(Dataset.version))) or 1) + 1
