"""A model's drift as its merchant sees it, and the job that would answer it."""

from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from db.models import Dataset, DriftWindow, Job, Model
from db.repositories import models
from db.repositories.reading import get
from db.repositories.submissions import WEIGHTS_FILE
from db.tenancy import scoped
from regraft.contract.drift import REFERENCE_FILE

_SHOWN = 20


class Standing(NamedTuple):
    """A model's closed windows, newest first, the open one's photos, and the job to suggest."""

    model: Model
    has_reference: bool
    windows: list[DriftWindow]
    collected: int
    suggested: dict[str, Any] | None


def show(session: Session, tenant_id: str, reference: str) -> Standing:
    """Return where a model stands; raises `NotFoundError`."""
    model = models.find(session, tenant_id, reference)
    mine = scoped(DriftWindow, tenant_id).where(DriftWindow.model_id == model.id)
    closed = mine.where(DriftWindow.closed_at.is_not(None)).order_by(DriftWindow.seq.desc())
    windows = list(session.scalars(closed.limit(_SHOWN)))
    open_one = session.scalar(mine.where(DriftWindow.closed_at.is_(None)))
    drifted = bool(windows) and bool(windows[0].drifted)
    return Standing(
        model=model,
        has_reference=models.file_if_any(session, tenant_id, model.id, REFERENCE_FILE) is not None,
        windows=windows,
        collected=0 if open_one is None else open_one.num_images,
        suggested=_suggested(session, tenant_id, model) if drifted else None,
    )


def _suggested(session: Session, tenant_id: str, model: Model) -> dict[str, Any] | None:
    """Return a job that can be submitted as it is; None where it could not.

    It trains on from the model; the strategy is the planner's, whose guard keeps what is no gain.
    """
    job = get(session, scoped(Job, tenant_id).where(Job.id == model.job_id), "job")
    dataset = _newest_version(session, tenant_id, job.dataset_id)
    if dataset is None or models.file_if_any(session, tenant_id, model.id, WEIGHTS_FILE) is None:
        return None
    return {
        "dataset": dataset.id,
        "base": {"model": model.id},
        "strategy": {"type": "auto"},
        "register_as": model.name,
        "metadata": {"reason": "drift", "drifted_model": model.id},
    }


def _newest_version(session: Session, tenant_id: str, dataset_id: str) -> Dataset | None:
    """Return the newest version that is ready of those made from a dataset, itself among them."""
    found: dict[str, Dataset] = {}
    ids = {dataset_id}
    while ids:
        named = Dataset.id.in_(ids) if not found else Dataset.parent_id.in_(ids)
        rows = [
            row
            for row in session.scalars(scoped(Dataset, tenant_id).where(named))
            if row.id not in found
        ]
        found |= {row.id: row for row in rows}
        ids = {row.id for row in rows}
    ready = [row for row in found.values() if row.status == "ready" and row.deleted_at is None]
    return max(ready, key=lambda row: (row.version, row.id), default=None)
