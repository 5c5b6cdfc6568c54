"""What a model is worth, for a person: accuracy, each class, and what adapting gained.

May import rich and the contract.
"""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from regraft.contract.metrics import Calibration, Gain, JobMetrics, Leaks, Metrics, Transfer
from regraft.contract.validation import printable

_LONGEST = 1000


def points(fraction: float | None) -> str:
    """Return a fraction as percent."""
    return "-" if fraction is None else f"{fraction:.1%}"


def quality(metrics: JobMetrics, transfer: Transfer | None) -> Sequence[RenderableType]:
    """Return the tables for what was measured: the test set's classes where there is one."""
    measured = [
        (name, part)
        for name, part in (("test", metrics.test), ("validation", metrics.validation))
        if part is not None
    ]
    others = _others(transfer) if transfer else []
    parts: list[RenderableType] = []
    if measured or others:
        parts.append(_accuracies([*measured, *others]))
    if metrics.calibration is not None:
        parts.append(_calibration(metrics.calibration))
    parts += [_leaks(one) for one in metrics.leaks]
    if measured:
        parts.append(_classes(measured[0][1]))
    return [*parts, *(_verdict(transfer) if transfer else [])]


def _others(transfer: Transfer) -> list[tuple[str, Metrics]]:
    named = (
        ("from scratch", transfer.from_scratch),
        ("baseline", transfer.baseline),
        ("live model", transfer.live_model),
    )
    return [(name, part) for name, part in named if part is not None]


def _accuracies(parts: Sequence[tuple[str, Metrics]]) -> Table:
    shown = Table(
        "measured",
        "accuracy",
        "95% interval",
        "macro F1",
        "images",
        "answered",
        "of them right",
        box=SIMPLE_HEAD,
    )
    for name, part in parts:
        low, high = part.accuracy_interval
        interval = f"{points(low)} - {points(high)}"
        count = str(part.num_images)
        answers = part.abstention
        shown.add_row(
            name,
            points(part.accuracy),
            interval,
            points(part.macro_f1),
            count,
            points(answers.coverage if answers else None),
            points(answers.accuracy if answers else None),
        )
    return shown


def _calibration(it: Calibration) -> Text:
    """Return in one line what the probabilities and the thresholds rest on."""
    wanted = f"answers at a wanted precision of {points(it.wanted_precision)}"
    if it.temperature is None:
        return Text(f"Probabilities: not calibrated, too few images; {wanted}")
    source = {"left_out": "training images left out", "validation": "held-out images"}
    rests = f"{it.num_images} {source[it.source]}" if it.source else "a few images"
    return Text(f"Probabilities: calibrated on {rests}; {wanted}")


def _leaks(it: Leaks) -> Text:
    """Return in one line what nearly equal images do to an accuracy."""
    said = f"{it.num_images} {it.part} images nearly equal images learned from"
    return Text(
        f"{said}; on the other {it.num_others}: {points(it.accuracy_without)}", style="yellow"
    )


def _classes(part: Metrics) -> Table:
    shown = Table(
        "class", "images", "precision", "recall", "F1", "answers from", "answered", box=SIMPLE_HEAD
    )
    for one in part.per_class:
        answered = "-" if one.num_answered is None else str(one.num_answered)
        scores = [points(one.precision), points(one.recall), points(one.f1)]
        scores += [points(one.threshold), answered]
        shown.add_row(Text(printable(one.label, _LONGEST)), str(one.num_images), *scores)
    return shown


def _verdict(transfer: Transfer) -> list[Text]:
    lines = []
    if transfer.gain is not None:
        lines.append(Text.assemble(("Gain over from scratch: ", "bold"), _gain(transfer.gain)))
    if transfer.guard is not None:
        said = f"{transfer.guard.decision}: {transfer.guard.reason}"
        lines.append(Text.assemble(("Verdict: ", "bold"), printable(said, _LONGEST)))
    if transfer.explanation:
        lines.append(Text(printable(transfer.explanation, _LONGEST)))
    return lines


def _gain(gain: Gain) -> str:
    """Return the gain, and whether the images can tell it from none."""
    low, high = gain.interval
    if low > 0:
        word = "adapting is better"
    elif high < 0:
        word = "training from scratch is better"
    else:
        word = "these images cannot tell the two apart"
    return f"{gain.points:+.1f} points (95% interval {low:+.1f} to {high:+.1f}): {word}"
