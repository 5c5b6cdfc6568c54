"""What a person reads: tables of datasets, jobs, models and their quality.

Text of the service is never taken as markup, and control characters in it are never printed.
May import rich and the contract.
"""

import json
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from regraft.cli.quality import quality
from regraft.cli.tables import fields, table, text
from regraft.contract.batch import Batch
from regraft.contract.drift import Drift
from regraft.contract.erasure import Erasure, ErasurePreview
from regraft.contract.registry import Alias, AuditEntry, Comparison
from regraft.contract.resources import (
    Backbone,
    Checkpoint,
    Dataset,
    Image,
    Job,
    JobEvent,
    Model,
    QueueShare,
    ShownBase,
    Strategy,
)
from regraft.contract.verdict import KEPT
from regraft.contract.webhooks import Delivery, Webhook, WebhookWithSecret


def is_kept(image: Image) -> bool:
    """Tell whether the image is part of its dataset."""
    return image.verdict in KEPT


def dataset(it: Dataset) -> RenderableType:
    """Return a dataset with its classes and what to watch."""
    head: dict[str, object] = {
        "dataset": it.id,
        "name": f"{it.name} (version {it.version})",
        "status": it.status if it.status_reason is None else f"{it.status}: {it.status_reason}",
        "images": f"{it.num_images} kept, {it.num_rejected} rejected",
        "unlabelled": it.num_unlabelled or None,
        "size": f"{it.bytes / 1e6:.1f} MB",
    }
    warnings = {f"warning {warn.code}": warn.message for warn in it.warnings}
    classes = table(("class", "images"), ((one.name, one.num_images) for one in it.classes))
    return Group(fields({**head, **warnings}), *([classes] if it.classes else []))


def datasets(items: Sequence[Dataset]) -> Table:
    """Return one row for each dataset."""
    return table(
        ("dataset", "name", "status", "images", "classes", "created"),
        ((d.id, d.name, d.status, d.num_images, len(d.classes), d.created_at) for d in items),
    )


def images(items: Sequence[Image]) -> Table:
    """Return one row for each image."""
    return table(
        ("image", "path", "label", "verdict", "message"),
        ((i.id, i.path, i.label, i.verdict.value, i.message) for i in items),
    )


def job(it: Job) -> RenderableType:
    """Return a job, and once it has succeeded what its model is worth."""
    head = {
        "job": it.id,
        "name": it.name,
        "status": it.status.value,
        "reason": it.status_reason,
        "dataset": it.spec.dataset,
        "source": it.spec.source_dataset,
        "unlabelled": it.spec.unlabelled_dataset,
        "method": _method(it),
        "phase": _phase(it),
        "queue": it.queue and it.queue.jobs_ahead is not None and f"{it.queue.jobs_ahead} ahead",
        "starts": it.queue and it.queue.estimated_start and f"about {it.queue.estimated_start}",
        "error": it.error and f"{it.error.message} ({it.error.code})",
        "what to do": it.error and it.error.remedy,
        "device time": it.usage and f"{it.usage.device_seconds:.1f} s",
        "model": it.model,
        "download": it.model and f"regraft models download {it.model}",
    }
    worth = quality(it.metrics, it.transfer) if it.metrics else []
    return Group(fields({name: value or None for name, value in head.items()}), *worth)


def _method(it: Job) -> str:
    """Return what a job does, and on what."""
    base = _base(it.spec.base)
    return (
        f"measures {base}"
        if it.spec.strategy.type == "none"
        else f"{it.spec.strategy.type} on {base}"
    )


def _base(it: ShownBase) -> str:
    """Return where a job's training starts."""
    return it.backbone or it.model or f"one of {', '.join(it.backbones or ['?'])}"


def _phase(it: Job | Batch) -> str | None:
    """Return where a job is that is still under way."""
    if it.progress is None or it.finished_at is not None:
        return None
    return f"{it.progress.phase} {it.progress.fraction:.0%}"


def jobs(items: Sequence[Job]) -> Table:
    """Return one row for each job."""
    return table(
        ("job", "name", "status", "dataset", "model", "created"),
        ((j.id, j.name, j.status.value, j.spec.dataset, j.model, j.created_at) for j in items),
    )


def batch(it: Batch) -> Table:
    """Return a batch, and once it has succeeded what there is to download."""
    answers = it.file
    head = {
        "batch": it.id,
        "name": it.name,
        "status": it.status.value,
        "reason": it.status_reason,
        "model": it.model,
        "dataset": it.dataset,
        "phase": _phase(it),
        "queue": it.queue and it.queue.jobs_ahead is not None and f"{it.queue.jobs_ahead} ahead",
        "error": it.error and f"{it.error.message} ({it.error.code})",
        "what to do": it.error and it.error.remedy,
        "device time": it.usage and f"{it.usage.device_seconds:.1f} s",
        "rows": answers and f"{answers.num_rows}, {answers.num_errors} in error",
        "download": answers and f"regraft batches download {it.id}",
    }
    return fields({name: value or None for name, value in head.items()})


def batches(items: Sequence[Batch]) -> Table:
    """Return one row for each batch."""
    return table(
        ("batch", "name", "status", "dataset", "model", "created"),
        ((b.id, b.name, b.status.value, b.dataset, b.model, b.created_at) for b in items),
    )


def queue(it: QueueShare) -> Table:
    """Return what a merchant gets of the devices, and why."""
    quota = None if it.max_running is None else f" of at most {it.max_running}"
    return fields(
        {
            "why": it.why,
            "running": f"{it.running}{quota or ''} on {it.devices} devices",
            "waiting": f"{it.queued} of {it.queued_in_all} in all",
            "share": f"{it.share:.0%} (weight {it.weight})",
            "device time": f"{it.device_seconds:.1f} s so far",
        }
    )


def events(items: Sequence[JobEvent]) -> Table:
    """Return one row for each event."""
    return table(
        ("time", "level", "type", "message"),
        ((e.created_at, e.level, e.type, e.message) for e in items),
    )


def event(it: JobEvent) -> Text:
    """Return one line of a job's history."""
    return text(f"{it.created_at}  {it.level:<5}  {it.message}")


def checkpoints(items: Sequence[Checkpoint]) -> Table:
    """Return one row for each checkpoint."""
    return table(
        ("step", "epoch", "bytes", "created"),
        ((c.step, c.epoch, c.bytes, c.created_at) for c in items),
    )


def model(it: Model) -> RenderableType:
    """Return a model with its quality and its files."""
    head = {
        "model": it.id,
        "name": f"{it.name}:{it.version}",
        "aliases": ", ".join(it.aliases),
        "method": f"{it.strategy} on {it.backbone}",
        "labels": f"{len(it.labels)}",
        "job": it.job,
        "created": it.created_at,
    }
    rows = ((file.name, f"{file.bytes:,}", file.sha256) for file in it.files)
    files = table(("file", "bytes", "sha256"), rows)
    return Group(fields(head), *quality(it.metrics, it.transfer), files)


def models(items: Sequence[Model]) -> Table:
    """Return one row for each model."""
    return table(
        ("model", "name", "strategy", "backbone", "labels", "aliases", "created"),
        (
            (
                m.id,
                f"{m.name}:{m.version}",
                m.strategy,
                m.backbone,
                len(m.labels),
                ", ".join(m.aliases),
                m.created_at,
            )
            for m in items
        ),
    )


def drift(it: Drift) -> Group:
    """Return where a model's photos stand, its windows, and the job to send."""
    head = {
        "model": it.model,
        "status": it.status,
        "what it means": it.message,
        "next window": f"{it.collected} of {it.window_size} photos",
        "job to send": it.suggested_job and json.dumps(it.suggested_job),
    }
    rows = (
        (w.ended_at, w.num_images, f"{w.shift:.2f}", f"{w.p_value:.1e}", "yes" if w.drifted else "")
        for w in it.windows
    )
    return Group(fields(head), table(("until", "photos", "shift", "p", "drifted"), rows))


def alias(it: Alias) -> Table:
    """Return where an alias points, and what its move was judged by."""
    return fields(
        {
            "alias": f"{it.name}@{it.alias}",
            "model": f"{it.model} (version {it.version})",
            "before": it.previous,
            "compared": it.comparison and _compared(it.comparison),
        }
    )


def _compared(it: Comparison) -> str:
    low, high = it.gain.interval
    where = "test images" if it.images == "test" else "held-out images"
    return (
        f"{it.num_right} of {it.num_images} {where} right, before {it.num_right_before}: "
        f"{it.gain.points:+.1f} points (95% interval {low:+.1f} to {high:+.1f})"
    )


def webhook(it: Webhook) -> RenderableType:
    """Return an endpoint, and its secret where it is shown."""
    return fields(
        {
            "webhook": it.id,
            "url": it.url,
            "description": it.description,
            "events": ", ".join(it.events),
            "enabled": "yes" if it.enabled else f"no: {it.disabled_reason}",
            "failing since": it.failing_since,
            "old secret until": it.previous_secret_until,
            "created": it.created_at,
            "secret": it.secret if isinstance(it, WebhookWithSecret) else None,
        }
    )


def webhooks(items: Sequence[Webhook]) -> Table:
    """Return one row for each endpoint."""
    return table(
        ("webhook", "url", "events", "enabled", "failing since"),
        (
            (w.id, w.url, ", ".join(w.events), "yes" if w.enabled else "no", w.failing_since)
            for w in items
        ),
    )


def deliveries(items: Sequence[Delivery]) -> Table:
    """Return one row for each event that was sent to an endpoint."""
    return table(
        ("delivery", "event", "type", "of", "status", "attempts", "last answer", "next attempt"),
        (
            (
                *(d.id, d.event, d.type, d.subject, d.status, d.num_attempts),
                *(_answered(d), d.next_attempt_at),
            )
            for d in items
        ),
    )


def _answered(it: Delivery) -> object:
    last = it.attempts[-1] if it.attempts else None
    return last and (last.status_code or last.error)


def audit(items: Sequence[AuditEntry]) -> Table:
    """Return one row for each change."""
    return table(
        ("time", "what", "of", "by", "request"),
        ((a.created_at, a.action, a.subject, a.actor or "operator", a.request_id) for a in items),
    )


def erasure(it: Erasure) -> Table:
    """Return the record of an erasure."""
    return fields(
        {
            "erasure": it.id,
            "of": f"{it.dataset} {it.dataset_name}",
            "status": it.status,
            "because": it.status_reason if it.status == "failed" else None,
            "images": it.deleted.images,
            "bytes": f"{it.deleted.bytes:,}",
            "models": it.deleted.models or None,
        }
    )


def erasures(items: Sequence[Erasure]) -> Table:
    """Return one row for each erasure."""
    return table(
        ("erasure", "dataset", "name", "status", "images", "finished"),
        (
            (e.id, e.dataset, e.dataset_name, e.status, e.deleted.images, e.finished_at)
            for e in items
        ),
    )


def erasure_preview(it: ErasurePreview) -> Group:
    """Return what an erasure would take, and what stands in its way."""
    stays = "stays, without its report and bundle"
    then = {"trained": "goes" if it.models == "delete" else stays, "tested": stays}
    models = table(
        ("model", "name", "aliases", "came from it", "then"),
        (
            (m.id, f"{m.name}:{m.version}", ", ".join(m.aliases), m.made_from, then[m.made_from])
            for m in it.affected
        ),
    )
    facts = fields(
        {
            "dataset": f"{it.dataset} {it.dataset_name}",
            "images": it.num_images,
            "in other sets too": it.num_shared or None,
            "feature packs": it.feature_packs or None,
            "bytes": f"{it.bytes:,}",
            "versions of it": ", ".join(it.versions) or None,
            "in the way": " ".join(it.blockers) or None,
        }
    )
    return Group(facts, models) if it.affected else Group(facts)


def backbones(items: Sequence[Backbone]) -> Table:
    """Return one row for each backbone."""
    return table(
        ("backbone", "parameters", "features", "pixels", "licence"),
        ((b.name, f"{b.num_parameters:,}", b.num_features, b.input_size, b.licence) for b in items),
    )


def strategies(items: Sequence[Strategy]) -> Table:
    """Return one row for each strategy."""
    return table(
        ("strategy", "trains", "how", "after"),
        ((s.type, s.trains, s.summary, s.reference) for s in items),
    )
