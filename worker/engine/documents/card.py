"""`README.md`: the model card (Mitchell et al. 2019), every sentence from facts of the run.

May import the contract and the engine's own modules; no torch.
"""

import re
from collections.abc import Sequence

from regraft.contract.catalog import STRATEGIES
from regraft.contract.job import FromModel
from regraft.contract.metrics import Gain, Metrics
from regraft.contract.validation import printable
from regraft.contract.version import __version__
from worker.engine.documents.facts import Facts, interval, percent

FEW_IMAGES = 10  # of a label in an evaluation, below which its figures mean little
_MAX_ROWS = 100
_LONGEST = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&])")


def card(facts: Facts) -> bytes:
    """Return the card; the same bytes for the same facts."""
    parts = [
        [f"# {safe(facts.spec.name)}", "", _summary(facts)],
        ["## Quality", "", *_quality(facts)],
        ["## Data", "", *_data(facts)],
        ["## Method", "", *_method(facts)],
        ["## Limits", "", *(f"- {limit}" for limit in _limits(facts))],
        ["## Licence", "", _licence(facts)],
        ["## Origin", "", *_origin(facts)],
    ]
    return ("\n\n".join("\n".join(lines) for lines in parts) + "\n").encode()


def safe(text: str) -> str:
    """Return a text of the merchant's that Markdown takes for nothing else."""
    return _plain(printable(text, _LONGEST))


def _summary(facts: Facts) -> str:
    labels = facts.trained.labels
    return (
        f"Recognises {len(labels)} labels in photos: "
        f"{', '.join(safe(label) for label in labels[:_MAX_ROWS])}"
        f"{f' and {len(labels) - _MAX_ROWS} more' if len(labels) > _MAX_ROWS else ''}."
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return [line(columns), line(["---"] * len(columns)), *(line(row) for row in rows)]


def _quality(facts: Facts) -> list[str]:
    if not facts.measured:
        return ["No image was held out, so the accuracy is not known."]
    rows = [
        [
            name,
            percent(found.accuracy),
            interval(found.accuracy_interval),
            percent(found.macro_f1),
            str(found.num_images),
        ]
        for name, found in (*facts.measured, *facts.others)
    ]
    where, metrics = facts.measured[0]
    columns = ["measured on", "accuracy", "95% interval", "macro F1", "images"]
    return [*_table(columns, rows), "", f"Each label on the {where}:", "", *_classes(metrics)]


def _classes(metrics: Metrics) -> list[str]:
    rows = [
        [
            safe(one.label),
            str(one.num_images),
            percent(one.precision),
            percent(one.recall),
            percent(one.f1),
        ]
        for one in metrics.per_class[:_MAX_ROWS]
    ]
    return _table(["label", "images", "precision", "recall", "F1"], rows)


def _data(facts: Facts) -> list[str]:
    parts, job = facts.given.parts, facts.spec.spec
    train = facts.num_train
    rows = [[safe(label), str(train[label])] for label in facts.trained.labels[:_MAX_ROWS]]
    tested = f", tested on {len(parts.test)}" if parts.test else ""
    counted = f"Trained on {len(parts.train)} images, held out {len(parts.validation)}{tested}."
    lines = [f"Dataset `{job.dataset}`. {counted} Images of one product stay on one side."]
    if job.test_dataset is not None:
        lines.append(f"The test images come from the dataset `{job.test_dataset}`.")
    if facts.given.source is not None:
        count = len(facts.given.source.images)
        lines.append(f"Learned from {count} images of the source `{job.source_dataset}` too.")
    if facts.given.unlabelled:
        count = len(facts.given.unlabelled)
        lines.append(f"Saw {count} images of `{job.unlabelled_dataset}`, without their labels.")
    return [*lines, "", *_table(["label", "images trained on"], rows)]


def _method(facts: Facts) -> list[str]:
    transfer, job = facts.trained.transfer, facts.spec.spec
    record = facts.trained.model.backbone.record
    asked = f"Asked for: `{job.strategy.type}` on `{record.name}`"
    lines = [f"{asked}{_trains(job.strategy.type)}."]
    delivered = facts.trained.strategy
    if delivered not in {None, job.strategy.type}:
        lines += ["", f"Delivered: `{delivered}`{_trains(delivered)}."]
    lines += ["", _plain(transfer.explanation)]
    if transfer.guard is not None:
        lines += [
            "",
            f"Verdict: {_plain(transfer.guard.decision)}. {_plain(transfer.guard.reason)}",
        ]
    if transfer.gain is not None:
        lines += ["", f"Gain over training from scratch: {_gain(transfer.gain)}."]
    return lines


def _trains(strategy: str | None) -> str:
    known = STRATEGIES.get(strategy or "")
    return "" if known is None else f", which trains {known.trains} ({known.reference})"


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _gain(gain: Gain) -> str:
    low, high = gain.interval
    return f"{gain.points:+.1f} points of accuracy (95% interval {low:+.1f} to {high:+.1f})"


def _limits(facts: Facts) -> list[str]:
    found = [
        "It knows its labels alone: a photo of anything else is taken for one of them.",
        "It leaves a photo unanswered where the probability is below the label's threshold.",
        "Its figures hold for photos like those that it was measured on.",
    ]
    if not facts.measured:
        return [*found, "Nothing was held out: no figure says how good it is."]
    where, metrics = facts.measured[0]
    few = [one.label for one in metrics.per_class if one.num_images < FEW_IMAGES]
    if few:
        listed = ", ".join(safe(label) for label in few[:_MAX_ROWS])
        found.append(f"Fewer than {FEW_IMAGES} of the {where} show: {listed}. Trust less in these.")
    missed = [one.label for one in metrics.per_class if one.num_images and not one.recall]
    if missed:
        listed = ", ".join(safe(label) for label in missed[:_MAX_ROWS])
        found.append(f"It recognised none of the {where} of: {listed}.")
    if metrics.abstention is not None:
        share, right = metrics.abstention.coverage, metrics.abstention.accuracy
        said = "" if right is None else f", {percent(right)} of these rightly"
        found.append(f"With its thresholds it answers {percent(share)} of the {where}{said}.")
    if metrics.ece is not None:
        found.append(f"Its probabilities are off by {metrics.ece:.3f} on average ({where}).")
    return found


def _licence(facts: Facts) -> str:
    record = facts.trained.model.backbone.record
    model = facts.trained.model
    is_published = model.is_frozen and model.backbone.own_weights is None
    kind = "unchanged" if is_published else "fine-tuned"
    return (
        f"The weights of the backbone `{record.name}` are published under {record.licence} and "
        f"are {kind} in this model. The head was learned from your own images."
    )


def _origin(facts: Facts) -> list[str]:
    backbone, job = facts.trained.model.backbone, facts.spec.spec
    rows = {
        "job": facts.spec.job,
        "dataset": job.dataset,
        "test dataset": job.test_dataset,
        "base model": job.base.model if isinstance(job.base, FromModel) else None,
        "backbone": f"{backbone.record.name} ({backbone.fingerprint})",
        "seed": str(job.seed),
        "Regraft": __version__,
    }
    return [f"- {name}: `{value}`" for name, value in rows.items() if value is not None]
