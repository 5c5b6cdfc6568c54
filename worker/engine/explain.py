"""What a run found, in words that a merchandiser can read.

May import the contract and `splits`; no torch.
"""

from regraft.contract.metrics import Calibration, JobMetrics, Leaks, Metrics, Transfer
from worker.engine.splits import Split

_MAX_LISTED = 5


def verdict_of(strategy: str, transfer: Transfer) -> str:
    """Return one sentence: what is delivered, and what that is worth."""
    guard, gain = transfer.guard, transfer.gain
    if guard is not None and guard.decision == "baseline_delivered":
        return f"Delivered is the frozen backbone with a linear head. {guard.reason}"
    if guard is not None and guard.gain is not None:
        is_sure = guard.gain.interval[0] > 0
        beats = ", which surely beats the frozen head" if is_sure else ""
        return f"Delivered is the model made by {strategy}{beats}. {guard.reason}"
    what = f"Delivered is the model made by {strategy}"
    if gain is None:
        return f"{what}."
    if gain.interval[0] > 0:
        return f"{what}: transfer pays, by {gain.points:+.1f} points over training from scratch."
    if gain.interval[1] < 0:
        return f"{what}, yet training from scratch is better by {-gain.points:.1f} points."
    return f"{what}; it cannot be told from training from scratch."


def explanation(
    parts: Split, num_classes: int, choice: str, metrics: JobMetrics, transfer: Transfer
) -> str:
    """Return a paragraph: what was learned from, how well it works, and what transfer gained."""
    learned = f"Learned {num_classes} classes from {len(parts.train)} images"
    sentences = [
        f"{learned}, on what the backbone already knew from other photos.",
        choice,
        _quality(metrics.validation, "held-out images", transfer),
    ]
    if metrics.test is not None:
        sentences.append(_quality(metrics.test, "test images", transfer))
    if metrics.calibration is not None:
        sentences += _calibration(metrics.calibration, metrics)
    sentences += [_leaks(one) for one in metrics.leaks]
    if transfer.gain is not None and transfer.from_scratch is not None:
        sentences.append(_gain(transfer.gain.points, transfer.gain.interval, transfer.from_scratch))
    return " ".join(sentences)


def _quality(metrics: Metrics | None, what: str, transfer: Transfer) -> str:
    if metrics is None:
        return _only_cross_validated(transfer)
    low, high = metrics.accuracy_interval
    right = round(metrics.accuracy * metrics.num_images)
    return (
        f"It names {right} of {metrics.num_images} {what} right: {metrics.accuracy:.1%}; "
        f"on more images like these, expect between {low:.1%} and {high:.1%}."
    )


def _only_cross_validated(transfer: Transfer) -> str:
    scores = [one.score for one in transfer.candidates if one.chosen and one.score is not None]
    if not scores:
        return "No image could be held out, so its accuracy is not known."
    return (
        "No image was held out; when parts of the training images were left out in turn, "
        f"{scores[0]:.1%} of them were named right."
    )


def _calibration(calibration: Calibration, metrics: JobMetrics) -> list[str]:
    """Say what the probabilities are worth, and how many images are left to a person."""
    part, what = metrics.test, "test images"
    if part is None:
        part, what = metrics.validation, "held-out images"
    if calibration.temperature is None:
        said = ["Its probabilities are not calibrated: there were too few images to do it on."]
    else:
        rests = {
            "left_out": "training images left out for this",
            "validation": "held-out images",
            None: "images",
        }[calibration.source]
        counted = f"{calibration.num_images} " if calibration.num_images else "a few "
        said = [f"Its probabilities were calibrated on {counted}{rests}{_error(part)}."]
    if part is not None and part.abstention is not None:
        said.append(_abstention(part, what, calibration))
    return said


def _error(part: Metrics | None) -> str:
    """Say how far they still are from how often they are right, where enough images tell."""
    if part is None or part.ece is None or part.ece_uncalibrated is None:
        return ""
    return (
        f": on {part.num_images} other images they are off by {100 * part.ece:.1f} points on "
        f"average, {100 * part.ece_uncalibrated:.1f} before"
    )


def _abstention(part: Metrics, what: str, calibration: Calibration) -> str:
    wanted = f"{calibration.wanted_precision:.0%}"
    without = [one.label for one in calibration.thresholds if one.threshold is None]
    if len(without) == len(calibration.thresholds):
        return f"No class was shown to reach a precision of {wanted}: it abstains from every image."
    found = part.abstention
    right = ""
    if found is not None and found.accuracy is not None:
        low, high = found.accuracy_interval
        right = f", {found.accuracy:.1%} of them rightly (between {low:.1%} and {high:.1%})"
    counted = found.num_answered if found is not None else 0
    said = f"Where it wants to be right {wanted} of the time, it answers {counted} of "
    said += f"{part.num_images} {what}{right}, and abstains from the rest"
    if not without:
        return f"{said}."
    listed = ", ".join(without[:_MAX_LISTED]) + (", ..." if len(without) > _MAX_LISTED else "")
    return f"{said}; {len(without)} classes were not shown to reach it: {listed}."


def _leaks(leaks: Leaks) -> str:
    what = {"validation": "held-out", "test": "test"}[leaks.part]
    said = f"{leaks.num_images} {what} images nearly equal images that it learned from"
    if leaks.accuracy_without is None:
        return f"{said}: there is no other to measure it on."
    low, high = leaks.accuracy_without_interval
    return (
        f"{said}; on the other {leaks.num_others} its accuracy is {leaks.accuracy_without:.1%} "
        f"(between {low:.1%} and {high:.1%})."
    )


def _gain(points: float, interval: tuple[float, float], other: Metrics) -> str:
    """Say who is better, and only if the interval leaves no doubt."""
    start = f"A network trained from scratch on the same images reaches {other.accuracy:.1%}"
    low, high = interval
    span = f"(95% interval {low:+.1f} to {high:+.1f})"
    if low <= 0 <= high:
        return f"{start}: {points:+.1f} points {span}, too few images to tell the two apart."
    return f"{start}: transfer gains {points:+.1f} points {span}."
