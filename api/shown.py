"""From rows to the resources of the contract; times become RFC 3339 in UTC, to the millisecond."""

from collections.abc import Callable
from typing import TypeVar, cast

from pydantic import BaseModel

from db import models as db_models
from db.models import Dataset, Image, Job, JobCheckpoint, JobEvent, JobMetric, ModelFile
from db.repositories import batches, erasures, queueing, quotas, uploads
from db.repositories import drift as standings
from db.repositories.aliases import Pointing
from db.repositories.jobs import Estimate, Overview
from db.repositories.models import ModelWithFiles
from db.repositories.reading import Slice
from regraft.contract import resources
from regraft.contract.administration import Key, Merchant
from regraft.contract.batch import Batch
from regraft.contract.drift import Drift, DriftStatus
from regraft.contract.erasure import AffectedModel, Erasure, ErasurePreview, ErasureRequest
from regraft.contract.job import JobSubmission
from regraft.contract.moments import when
from regraft.contract.registry import Alias, AuditEntry, Comparison
from regraft.contract.status import TERMINAL, JobStatus, RequestedAction, shown
from regraft.contract.uploads import PART_BYTES, Upload
from regraft.contract.webhooks import Delivery, Webhook

_DRIFTED = "The photos it is asked about look unlike its training images: see its drift."
_DRIFT_SAYS: dict[DriftStatus, str] = {
    "unavailable": "The model has no reference: too few images, or an older version made it.",
    "collecting": "Too few photos have come yet to say anything.",
    "ok": "The newest photos look like the training images.",
    "drifted": (
        "The newest photos look unlike the training images. Label some of them, add them as a new "
        "version of the dataset, and send `suggested_job`; name unlabelled ones as its "
        "`unlabelled_dataset`, with a strategy such as `coral`."
    ),
}
Item = TypeVar("Item")
Shown = TypeVar("Shown", bound=BaseModel)


def page(rows: Slice[Item], show: Callable[[Item], Shown]) -> resources.Page[Shown]:
    """Return one page of a list, each row as `show` shows it."""
    return resources.Page(
        data=[show(row) for row in rows.rows],
        has_more=rows.next_cursor is not None,
        next_cursor=rows.next_cursor,
    )


def dataset(row: Dataset) -> resources.Dataset:
    """Return a dataset; `bytes` and `sha256` are the upload's."""
    return resources.Dataset.model_validate(
        {
            **_columns(row, "id name version status status_reason num_images num_rejected"),
            **_columns(row, "num_unlabelled classes warnings"),
            "parent": row.parent_id,
            "bytes": row.source_bytes,
            "sha256": row.source_sha256,
            "created_at": when(row.created_at),
            "metadata": row.user_metadata,
        }
    )


def image(row: Image) -> resources.Image:
    """Return one uploaded file and its verdict."""
    names = "id path label verdict message width height sha256"
    return resources.Image.model_validate(_columns(row, names))


def job(overview: Overview) -> resources.Job:
    """Return a job with what it made so far; what is not known yet is null."""
    row, result = overview.job, overview.result
    wish = None if row.requested_action is None else RequestedAction(row.requested_action)
    return resources.Job.model_validate(
        {
            **_columns(row, "id name status_reason spec priority attempt progress error"),
            "status": shown(JobStatus(row.status), wish),
            "register_as": row.register_as or "model",
            "queue": overview.place and _place(overview.place),
            "created_at": when(row.created_at),
            "started_at": _when_known(row.started_at),
            "finished_at": _when_known(row.finished_at),
            "model": result and result.model_id,
            "metrics": result and result.metrics,
            "transfer": result and result.transfer,
            "usage": result.usage if result else _usage(row),
            "metadata": row.user_metadata,
        }
    )


def batch(overview: batches.Overview) -> Batch:
    """Return a batch with what it answered, which is null until it has."""
    row, answers = overview.job, overview.file
    spec = row.spec
    wish = None if row.requested_action is None else RequestedAction(row.requested_action)
    file = answers and {
        "name": batches.file_name(row),
        "bytes": answers.size,
        **_columns(answers, "sha256 num_rows num_errors"),
    }
    return Batch.model_validate(
        {
            **_columns(row, "id name status_reason priority attempt progress error"),
            **{name: spec[name] for name in ("dataset", "model", "format", "top", "limits")},
            "status": shown(JobStatus(row.status), wish),
            "queue": overview.place and _place(overview.place),
            "created_at": when(row.created_at),
            "started_at": _when_known(row.started_at),
            "finished_at": _when_known(row.finished_at),
            "file": file,
            "usage": overview.result.usage if overview.result else _usage(row),
            "metadata": row.user_metadata,
        }
    )


def estimate(submission: JobSubmission, found: Estimate) -> resources.JobEstimate:
    """Return what a submission would become."""
    return resources.JobEstimate.model_validate(
        {
            "spec": submission.spec().model_dump(mode="json"),
            "warnings": found.warnings,
            "queue": _place(found.prospect.place),
            "typical_seconds": round(found.prospect.typical_seconds, 3),
        }
    )


def share(found: queueing.Share) -> resources.QueueShare:
    """Return what a merchant gets of the devices."""
    return resources.QueueShare.model_validate(found._asdict())


def usage(found: quotas.Usage) -> resources.MerchantUsage:
    """Return what a merchant uses, beside its quotas."""
    return resources.MerchantUsage(
        month=found.month,
        device_seconds=round(found.device_seconds, 3),
        stored_bytes=found.stored_bytes,
        quotas=[quota(one) for one in found.quotas],
    )


def quota(found: quotas.Quota) -> resources.Quota:
    """Return what is used of one thing, and what is left of it."""
    left = None if found.limit is None else max(0.0, found.limit - found.used)
    return resources.Quota.model_validate({**found._asdict(), "left": left})


def event(row: JobEvent) -> resources.JobEvent:
    """Return one line of a job's history."""
    return resources.JobEvent.model_validate(
        {**_columns(row, "id level type message data"), "created_at": when(row.created_at)}
    )


def checkpoint(row: JobCheckpoint) -> resources.Checkpoint:
    """Return where a training stood."""
    return resources.Checkpoint(
        step=row.step,
        epoch=row.epoch,
        bytes=row.size,
        sha256=row.sha256,
        created_at=when(row.created_at),
    )


def metrics(rows: list[JobMetric]) -> resources.MetricSeries:
    """Return values grouped into series; the rows come in the order of their steps."""
    series: dict[str, list[resources.MetricPoint]] = {}
    for row in rows:
        point = resources.MetricPoint(step=row.step, value=row.value, time=when(row.created_at))
        series.setdefault(row.name, []).append(point)
    return resources.MetricSeries(series=series)


def model(found: ModelWithFiles) -> resources.Model:
    """Return a model with its files."""
    row = found.model
    return resources.Model.model_validate(
        {
            **_columns(row, "id name version backbone strategy labels metrics transfer lineage"),
            "aliases": found.aliases,
            "job": row.job_id,
            "files": [file(entry) for entry in found.files],
            "created_at": when(row.created_at),
            "metadata": row.user_metadata,
            "warnings": [{"code": "drift", "message": _DRIFTED}] if found.drifted else [],
        }
    )


def drift(found: standings.Standing) -> Drift:
    """Return how a model's photos compare with its training images."""
    newest = found.windows[0] if found.windows else None
    status: DriftStatus = "drifted" if newest and newest.drifted else "ok"
    if newest is None:
        status = "collecting" if found.has_reference else "unavailable"
    windows = [
        {
            **_columns(row, "num_images shift p_value drifted"),
            "started_at": when(row.started_at),
            "ended_at": _when_known(row.closed_at),
        }
        for row in found.windows
    ]
    return Drift.model_validate(
        {
            "model": found.model.id,
            "status": status,
            "message": _DRIFT_SAYS[status],
            "collected": found.collected,
            "windows": windows,
            "suggested_job": found.suggested,
        }
    )


def file(row: ModelFile) -> resources.ModelFile:
    """Return a file's name, size in bytes and hash."""
    return resources.ModelFile(name=row.name, bytes=row.size, sha256=row.sha256)


def alias(found: Pointing, comparison: Comparison | None) -> Alias:
    """Return where an alias points, and what its move was judged by."""
    row = found.alias
    return Alias(
        name=row.name,
        alias=row.alias,
        model=row.model_id,
        version=found.model.version,
        previous=row.previous_id,
        comparison=comparison,
        updated_at=when(row.updated_at),
    )


def erasure(found: erasures.Shown) -> Erasure:
    """Return an erasure with what it has deleted so far."""
    row, job = found
    over = {JobStatus.SUCCEEDED: "done", JobStatus.FAILED: "failed", JobStatus.CANCELLED: "failed"}
    off = row.cancelled_at is not None
    status = "cancelled" if off else over.get(JobStatus(job.status), job.status)
    return Erasure.model_validate(
        {
            **_columns(row, "id dataset_name models deleted actor"),
            "dataset": row.dataset_id,
            "status": status,
            "status_reason": job.status_reason,
            "created_at": when(row.created_at),
            "finished_at": _when_known(row.cancelled_at or row.finished_at),
        }
    )


def erasure_preview(found: erasures.Preview, wanted: ErasureRequest) -> ErasurePreview:
    """Return what an erasure would take."""
    affected = [
        AffectedModel(
            **_columns(one.model, "id name version"),
            aliases=one.aliases,
            made_from=one.made_from,
        )
        for one in found.affected
    ]
    return ErasurePreview.model_validate(
        {
            **_columns(found, "num_images num_shared feature_packs bytes versions jobs blockers"),
            "dataset": found.dataset.id,
            "dataset_name": found.dataset.name,
            "models": wanted.models,
            "affected": affected,
        }
    )


def upload(found: uploads.Shown) -> Upload:
    """Return an upload with the parts that have come."""
    row = found.upload
    parts = [{**_columns(part, "number sha256"), "bytes": part.size} for part in found.parts]
    return Upload.model_validate(
        {
            **_columns(row, "id sha256"),
            "status": "open" if row.completed_at is None else "complete",
            "bytes": row.size,
            "part_bytes": PART_BYTES,
            "num_parts": found.num_parts,
            "parts": parts,
            "created_at": when(row.created_at),
            "expires_at": when(row.expires_at),
        }
    )


def audit_entry(row: db_models.AuditEntry) -> AuditEntry:
    """Return one line of the audit trail."""
    return AuditEntry.model_validate(
        {
            **_columns(row, "id action actor subject request_id data"),
            "created_at": when(row.created_at),
        }
    )


def merchant(row: db_models.Tenant) -> Merchant:
    """Return a merchant, as an administrator sees it."""
    limits = {name: getattr(row, column) for name, column in quotas.COLUMNS.items()}
    values = {**_columns(row, "id name weight"), "limits": limits}
    return Merchant.model_validate({**values, "created_at": when(row.created_at)})


def key(row: db_models.ApiKey) -> Key:
    """Return a key; its secret is known to nobody but its owner."""
    return Key.model_validate(
        {
            **_columns(row, "id name prefix scopes"),
            "merchant": row.tenant_id,
            "created_at": when(row.created_at),
            "expires_at": _when_known(row.expires_at),
            "revoked_at": _when_known(row.revoked_at),
        }
    )


def webhook(row: db_models.Webhook) -> Webhook:
    """Return an endpoint; its secrets are not in it."""
    return Webhook.model_validate(
        {
            **_columns(row, "id url description events disabled_reason"),
            "enabled": row.disabled_at is None,
            "failing_since": _when_known(row.failing_since),
            "previous_secret_until": _when_known(row.previous_until),
            "created_at": when(row.created_at),
        }
    )


def delivery(row: db_models.WebhookDelivery) -> Delivery:
    """Return one event for one endpoint, and how it went so far."""
    attempts = [{**one, "at": when(cast("float", one["at"]))} for one in row.attempts]
    return Delivery.model_validate(
        {
            **_columns(row, "id type subject status"),
            "webhook": row.webhook_id,
            "event": row.event_id,
            "num_attempts": row.attempt,
            "attempts": attempts,
            "next_attempt_at": when(row.next_at) if row.status == "pending" else None,
            "created_at": when(row.created_at),
        }
    )


def _columns(row: object, names: str) -> dict[str, object]:
    return {name: getattr(row, name) for name in names.split()}


def _when_known(seconds: float | None) -> str | None:
    return None if seconds is None else when(seconds)


def _place(found: queueing.Place) -> dict[str, object]:
    return {"jobs_ahead": found.jobs_ahead, "estimated_start": _when_known(found.starts_at)}


def _usage(row: Job) -> dict[str, object] | None:
    """Return what a job without a result used, once that is final."""
    return {"device_seconds": row.seconds_run} if row.status in TERMINAL else None
