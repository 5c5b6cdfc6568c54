"""One plausible instance of each resource, built with the contract's own models."""

import hashlib
from typing import Any

from regraft.contract.ids import new_id
from regraft.contract.job import JobSubmission
from regraft.contract.metrics import (
    ClassMetrics,
    ConfusionMatrix,
    Gain,
    Guard,
    JobMetrics,
    Metrics,
    Transfer,
)
from regraft.contract.registry import Alias, AuditEntry, Comparison
from regraft.contract.resources import (
    Checkpoint,
    ClassCount,
    Dataset,
    Image,
    Job,
    JobEvent,
    Model,
    ModelFile,
    Progress,
    Warn,
)
from regraft.contract.status import DatasetStatus, ShownStatus
from regraft.contract.verdict import Verdict

NOW = "2026-11-24T06:00:00Z"


def dataset(name: str = "home goods", status: DatasetStatus = "ready", **changes: Any) -> Dataset:
    """Return a dataset of two classes with one rejected file."""
    values: dict[str, Any] = {
        "id": new_id("ds"),
        "name": name,
        "version": 1,
        "status": status,
        "status_reason": None,
        "num_images": 4,
        "num_rejected": 1,
        "num_unlabelled": 0,
        "classes": [ClassCount(name="mug", num_images=2), ClassCount(name="bowl", num_images=2)],
        "warnings": [Warn(code="imbalanced", message="watch the mugs")],
        "parent": None,
        "bytes": 1234,
        "sha256": "0" * 64,
        "created_at": NOW,
        "metadata": {},
    }
    return Dataset.model_validate(values | changes)


def image(verdict: Verdict, path: str = "mug/1.jpg") -> Image:
    """Return an image with this verdict."""
    return Image(
        id=new_id("img"),
        path=path,
        label="mug",
        verdict=verdict,
        message=None,
        width=10,
        height=10,
        sha256=None,
    )


def metrics(accuracy: float = 0.91) -> Metrics:
    """Return an evaluation on eleven images of two classes."""
    one = ClassMetrics(label="mug", num_images=6, precision=0.9, recall=0.8, f1=0.85)
    other = ClassMetrics(label="bowl", num_images=5, precision=None, recall=0.7, f1=None)
    return Metrics(
        num_images=11,
        accuracy=accuracy,
        accuracy_interval=(0.62, 0.98),
        macro_f1=0.9,
        per_class=[one, other],
        confusion_matrix=ConfusionMatrix(labels=["mug", "bowl"], counts=[[6, 0], [1, 4]]),
    )


def transfer(low: float = 4.0) -> Transfer:
    """Return a gain whose interval begins at `low` points."""
    return Transfer(
        from_scratch=metrics(0.4),
        gain=Gain(points=51.0, interval=(low, 70.0)),
        guard=Guard(decision="delivered", reason="better than the baseline out of fold"),
        explanation="The frozen backbone already separates these products.",
    )


def job(submission: JobSubmission, status: str = "queued", **changes: Any) -> Job:
    """Return a job for what was submitted."""
    values: dict[str, Any] = {
        "id": new_id("job"),
        "name": submission.name,
        "status": status,
        "status_reason": None,
        "spec": submission.spec(),
        "register_as": submission.model_name(),
        "progress": None,
        "queue": None,
        "priority": 0,
        "attempt": 1,
        "created_at": NOW,
        "started_at": None,
        "finished_at": None,
        "model": None,
        "metrics": None,
        "transfer": None,
        "usage": None,
        "error": None,
        "metadata": submission.metadata,
    }
    return Job.model_validate(values | changes)


def course(queued: Job, model: str) -> list[Job]:
    """Return what a poller sees of a job that succeeds."""
    running = Progress(phase="features", fraction=0.42)
    return [
        queued,
        queued.model_copy(update={"status": ShownStatus.RUNNING, "progress": running}),
        Job.model_validate(
            queued.model_dump()
            | {
                "status": "succeeded",
                "model": model,
                "metrics": JobMetrics(test=metrics(), validation=metrics(0.88)),
                "transfer": transfer(),
            }
        ),
    ]


def event(message: str) -> JobEvent:
    """Return an event."""
    return JobEvent(
        id=new_id("evt"), created_at=NOW, level="info", type="message", message=message, data={}
    )


def checkpoint(step: int) -> Checkpoint:
    """Return where a training stood at a step."""
    return Checkpoint(step=step, epoch=1, bytes=1234, sha256="0" * 64, created_at=NOW)


def model(files: dict[str, bytes]) -> Model:
    """Return a model that consists of these files."""
    manifest = [
        ModelFile(name=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    ]
    return Model(
        id=new_id("md"),
        name="home-goods",
        version=3,
        aliases=["production"],
        job=new_id("job"),
        backbone="efficientnet_lite0",
        strategy="linear_probe",
        labels=["mug", "bowl"],
        metrics=JobMetrics(test=metrics()),
        transfer=transfer(),
        files=manifest,
        lineage={},
        created_at=NOW,
        metadata={},
    )


def alias(name: str, alias: str, version: int) -> Alias:
    """Return an alias that was moved from another model."""
    before = new_id("md")
    comparison = Comparison(
        compared_with=before,
        images="test",
        num_images=100,
        num_right=51,
        num_right_before=93,
        gain=Gain(points=-42.0, interval=(-52.1, -31.0)),
    )
    return Alias(
        name=name,
        alias=alias,
        model=new_id("md"),
        version=version,
        previous=before,
        comparison=comparison,
        updated_at=NOW,
    )


def audit_entry() -> AuditEntry:
    """Return a promotion, made by an operator."""
    return AuditEntry(
        id=new_id("aud"),
        action="model.promoted",
        actor=None,
        subject="home-goods@production",
        request_id="req_42",
        data={"to": {"version": 2}},
        created_at=NOW,
    )
