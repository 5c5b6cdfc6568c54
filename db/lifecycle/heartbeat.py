"""The heartbeat: one fenced transaction renews a lease and writes what the run reported."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.base import now
from db.lifecycle import events
from db.lifecycle.guard import Held, is_held
from db.models import Job, JobMetric
from regraft.contract.status import EventLevel, RequestedAction


class Note(NamedTuple):
    """A line for a job's history."""

    level: EventLevel
    message: str
    data: dict[str, object]


@dataclass
class Report:
    """What happened since the last beat; `metrics` are values by (series, step)."""

    progress: dict[str, object] | None = None
    notes: list[Note] = field(default_factory=list)
    metrics: dict[tuple[str, int], float] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Tell whether there is nothing to write."""
        return self.progress is None and not self.notes and not self.metrics


class Beat(NamedTuple):
    """The answer to a beat that was accepted: what the user wishes for, if anything."""

    wish: RequestedAction | None


def beat(session: Session, held: Held, report: Report, *, lease: float) -> Beat | None:
    """Hold the job for another `lease` seconds and write `report`; None if it was lost."""
    values: dict[str, object] = {"lease_until": now() + lease}
    if report.progress is not None:
        values["progress"] = report.progress
    row = session.execute(
        update(Job).where(is_held(held)).values(values).returning(Job.requested_action),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if row is None:
        return None
    _append(session, held, report)
    wish = row.requested_action
    return Beat(None if wish is None else RequestedAction(wish))


def _append(session: Session, held: Held, report: Report) -> None:
    for note in report.notes:
        events.record(
            session,
            tenant_id=held.tenant_id,
            job_id=held.job_id,
            fence=held.fence,
            level=note.level,
            type="message",
            message=note.message,
            data=note.data,
        )
    if report.metrics:
        _upsert_metrics(session, held, report.metrics)


def _upsert_metrics(session: Session, held: Held, metrics: dict[tuple[str, int], float]) -> None:
    """A later attempt's value for the same step replaces the earlier one's."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(JobMetric)
    statement = statement.on_conflict_do_update(
        index_elements=["job_id", "name", "step"], set_={"value": statement.excluded.value}
    )
    rows = [
        {"tenant_id": held.tenant_id, "job_id": held.job_id, "name": n, "step": s, "value": v}
        for (n, s), v in metrics.items()
    ]
    session.execute(statement, rows)
