"""Windows of a model's photos: added to by the serving process, judged when they are full.

Two processes that add at once wait for each other at the model's row.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import outbox
from db.lifecycle.guard import changed
from db.models import DriftWindow, Model
from regraft.contract.drift import FALSE_ALARMS, LEAST_SHIFT, WINDOW

KEPT = 50  # windows of each model


class Tally(NamedTuple):
    """What photos come to: how many of each class, and the sum [k] of what they deviate by."""

    sums: Sequence[float]
    counts: Sequence[int]


class Judgement(NamedTuple):
    """How far a window is from the training images, and how often chance would make that."""

    shift: float
    p_value: float

    @property
    def drifted(self) -> bool:
        """Whether this is worth a warning."""
        return self.p_value < FALSE_ALARMS and self.shift >= LEAST_SHIFT


def add(
    session: Session,
    tenant_id: str,
    model_id: str,
    tally: Tally,
    judge: Callable[[Tally], Judgement],
) -> None:
    """Add photos to a model's open window; a full one is judged, closed, and tells of a change.

    Nothing is written where the model was deleted. Sums do not outlive their window.
    """
    mine = (Model.id == model_id) & (Model.tenant_id == tenant_id) & Model.deleted_at.is_(None)
    held = select(Model.id).where(mine).with_for_update(of=Model)
    if session.scalar(held) is None:
        return
    window = _open(session, tenant_id, model_id, tally)
    if window.num_images >= WINDOW:
        before = newest(session, model_id)
        window.shift, window.p_value = found = judge(Tally(window.sums, window.counts))
        window.drifted, window.closed_at = found.drifted, session.scalar(select(now()))
        window.sums, window.counts = [], []
        if found.drifted and not (before and before.drifted):
            outbox.model_drifted(session, tenant_id, model_id)
    session.flush()
    _forget(session, model_id)


def newest(session: Session, model_id: str) -> DriftWindow | None:
    """Return the window that was closed last."""
    closed = (DriftWindow.model_id == model_id) & DriftWindow.closed_at.is_not(None)
    query = select(DriftWindow).where(closed).order_by(DriftWindow.seq.desc())
    return session.scalar(query.limit(1))


def newest_drifted(windows: Select[DriftWindow]) -> Select[str]:
    """Return the query of the models whose newest closed window, among these, has drifted."""
    closed = windows.where(DriftWindow.closed_at.is_not(None))
    last = closed.with_only_columns(func.max(DriftWindow.seq)).group_by(DriftWindow.model_id)
    found = windows.where(DriftWindow.seq.in_(last), DriftWindow.drifted.is_(True))
    return found.with_only_columns(DriftWindow.model_id)


def drop(session: Session, model_id: str) -> None:
    """Delete what is known of a model's traffic."""
    changed(session, delete(DriftWindow).where(DriftWindow.model_id == model_id))


def _open(session: Session, tenant_id: str, model_id: str, tally: Tally) -> DriftWindow:
    """Return the model's open window with the photos added; one of another form begins anew."""
    query = select(DriftWindow).where(
        DriftWindow.model_id == model_id, DriftWindow.closed_at.is_(None)
    )
    window = session.scalar(query)
    if window is None:
        window = DriftWindow(tenant_id=tenant_id, model_id=model_id, sums=[], counts=[])
        session.add(window)
    same = len(window.sums) == len(tally.sums) and len(window.counts) == len(tally.counts)
    sums, counts = (
        (window.sums, window.counts) if same else ([0.0] * len(tally.sums), [0] * len(tally.counts))
    )
    window.sums = [a + b for a, b in zip(sums, tally.sums, strict=True)]
    window.counts = [a + b for a, b in zip(counts, tally.counts, strict=True)]
    window.num_images = sum(window.counts)
    session.flush()
    return window


def _forget(session: Session, model_id: str) -> None:
    mine = DriftWindow.model_id == model_id
    old = select(DriftWindow.seq).where(mine).order_by(DriftWindow.seq.desc()).offset(KEPT).limit(1)
    last = session.scalar(old)
    if last is not None:
        changed(session, delete(DriftWindow).where(mine, DriftWindow.seq <= last))
