"""Curves as SVG that a screen reader can name; standard library alone."""

from collections.abc import Sequence

from worker.engine.documents.markup import Html, tag

_WIDTH, _HEIGHT = 320, 140
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 8, 8, 22

Points = Sequence[tuple[int, float]]


def curve(name: str, points: Points) -> Html:
    """Return one series over its steps, with its range in numbers and words."""
    steps = [step for step, _ in points]
    values = [value for _, value in points]
    low, high = min(values), max(values)
    said = f"{name}: from {values[0]:.4g} to {values[-1]:.4g} over steps {steps[0]} to {steps[-1]}"
    line = tag("polyline", points=_path(points), fill="none", stroke="currentColor")
    marks = (
        _mark(_LEFT - 4, _TOP + 8, f"{high:.3g}", "end"),
        _mark(_LEFT - 4, _HEIGHT - _BOTTOM, f"{low:.3g}", "end"),
        _mark(_LEFT, _HEIGHT - 6, str(steps[0]), "start"),
        _mark(_WIDTH - _RIGHT, _HEIGHT - 6, str(steps[-1]), "end"),
    )
    frame = tag("path", d=_frame(), fill="none", stroke="currentColor", opacity="0.4")
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    picture = tag("svg", tag("title", said), frame, line, *marks, viewBox=box, role="img")
    return tag("figure", picture, tag("figcaption", name))


def _path(points: Points) -> str:
    """Return the points' places, each to a tenth of a pixel."""
    first, last = points[0][0], points[-1][0]
    values = [value for _, value in points]
    low, high = min(values), max(values)
    wide, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    places = (
        (
            _LEFT + wide * (step - first) / ((last - first) or 1),
            _TOP + tall * (high - value) / ((high - low) or 1),
        )
        for step, value in points
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _frame() -> str:
    return f"M{_LEFT},{_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"


def _mark(x: int, y: int, text: str, anchor: str) -> Html:
    return tag("text", text, x=str(x), y=str(y), text_anchor=anchor)
