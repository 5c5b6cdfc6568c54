"""From measured cells to curves with paired intervals, verdicts, a table and a picture."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

REFERENCE = "logistic_regression"  # scikit-learn's defaults, C = 1: what auto is to beat
_T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)  # Student's t, 1 to 9 degrees
_TOLERANCE = 1.0  # points, see docs/transfer.md
_COLOURS = (
    *("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02"),
    *("#a6761d", "#666666", "#1f78b4", "#b2182b", "#35978f", "#000000"),
)
_WIDTH, _HEIGHT, _IN_A_ROW = 360, 345, 3  # of a panel

Rows = Sequence[Mapping[str, Any]]
Values = dict[int, float]  # by draw


def mean_interval(values: Iterable[float]) -> tuple[float, float, float]:
    """Return the mean and its 95% interval; the whole line's width for a single value."""
    known = list(values)
    mean = statistics.fmean(known)
    if len(known) == 1:
        return mean, -math.inf, math.inf
    factor = _T95[min(len(known) - 2, len(_T95) - 1)]
    spread = factor * statistics.stdev(known) / math.sqrt(len(known))
    return mean, mean - spread, mean + spread


def by_point(rows: Rows, field: str = "accuracy") -> dict[tuple[str, int], dict[str, Values]]:
    """Return for each set and number of images a class the values of each strategy by draw."""
    found: dict[tuple[str, int], dict[str, Values]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if field in row:
            found[row["set_name"], row["num_each"]][row["strategy"]][row["draw"]] = row[field]
    return dict(sorted(found.items()))


def paired(one: Values, other: Values) -> tuple[float, float, float]:
    """Return the mean difference over the draws that both have, with its 95% interval."""
    return mean_interval(one[draw] - other[draw] for draw in one.keys() & other.keys())


def verdicts(rows: Rows) -> list[dict[str, Any]]:
    """Judge at every point: auto against the best single strategy, the guard against the head."""
    found = []
    delivered = by_point(rows, "delivered")
    for point, values in by_point(rows).items():
        singles = {name: one for name, one in values.items() if name not in {"auto", REFERENCE}}
        auto = values.get("auto")
        if auto and singles:
            best = max(singles, key=lambda name: statistics.fmean(singles[name].values()))
            mean, low, high = paired(auto, singles[best])
            ok = high >= -_TOLERANCE
            found.append(_verdict(point, f"auto - {best}", (mean, low, high), ok=ok))
        if auto and REFERENCE in values:
            gain = paired(auto, values[REFERENCE])
            found.append(_verdict(point, f"auto - {REFERENCE}", gain, ok=gain[0] > 0))
        head = values.get("linear_probe")
        for name, one in delivered.get(point, {}).items() if head else ():
            if name not in {"linear_probe", REFERENCE} and head:
                mean, low, high = paired(one, head)
                ok = mean >= -_TOLERANCE
                found.append(_verdict(point, f"guarded {name} - head", (mean, low, high), ok=ok))
    return found


def _verdict(
    point: tuple[str, int], what: str, gain: tuple[float, float, float], *, ok: bool
) -> dict[str, Any]:
    mean, low, high = (round(value, 2) if math.isfinite(value) else None for value in gain)
    interval = [low, high]
    return {"set": point[0], "num_each": point[1], "what": what, "points": mean} | {
        "interval": interval,
        "holds": ok,
    }


def table(rows: Rows) -> str:
    """Return the curves as Markdown: mean accuracy, the half-width of its 95% interval, draws."""
    lines = []
    points = by_point(rows)
    for name in dict.fromkeys(one for one, _ in points):
        mine = {num_each: values for (one, num_each), values in points.items() if one == name}
        strategies = list(dict.fromkeys(row["strategy"] for row in rows if row["set_name"] == name))
        lines += [f"**{name}**", "", "| images a class | " + " | ".join(strategies) + " |"]
        lines.append("|---" * (len(strategies) + 1) + "|")
        for num_each, values in mine.items():
            shown = [_shown(values.get(strategy, {})) for strategy in strategies]
            lines.append(f"| {num_each} | " + " | ".join(shown) + " |")
        lines.append("")
    return "\n".join(lines)


def _shown(values: Values) -> str:
    if not values:
        return ""
    mean, low, _ = mean_interval(values.values())
    spread = f" ± {mean - low:.1f}" if math.isfinite(low) else ""
    return f"{mean:.1f}{spread} ({len(values)})"


def picture(rows: Rows) -> str:
    """Return one panel for each set as SVG: accuracy over images a class, on a log scale."""
    points = by_point(rows)
    names = list(dict.fromkeys(one for one, _ in points))
    strategies = list(dict.fromkeys(row["strategy"] for row in rows))
    num_rows = -(-len(names) // _IN_A_ROW)
    height = _HEIGHT * num_rows + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH * _IN_A_ROW}" height="{height}">',
        "<style>text{font:11px sans-serif}</style>",
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, name in enumerate(names):
        row, column = divmod(number, _IN_A_ROW)
        mine = {num_each: values for (one, num_each), values in points.items() if one == name}
        place = f"translate({_WIDTH * column},{_HEIGHT * row})"
        parts += [f'<g transform="{place}">', *_panel(name, mine, strategies), "</g>"]
    for number, name in enumerate(strategies):
        x, y = 50 + 160 * (number % 6), _HEIGHT * num_rows + 10 + 18 * (number // 6)
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(f'<text x="{x}" y="{y}" fill="{colour}">■ {name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    name: str, mine: Mapping[int, Mapping[str, Values]], strategies: Sequence[str]
) -> list[str]:
    means = [statistics.fmean(one.values()) for values in mine.values() for one in values.values()]
    low, high = min(means) - 1, max(means) + 1
    wide = math.log(max(2, *mine))

    def place(num_each: int, mean: float) -> str:
        x = 50 + 290 * math.log(num_each) / wide
        return f"{x:.1f},{310 - 270 * (mean - low) / (high - low):.1f}"

    parts = [f'<text x="50" y="20">{name}: accuracy in %</text>']
    for share in range(5):
        mean = low + share * (high - low) / 4
        y = 310 - 270 * share / 4
        parts.append(
            f'<path d="M50 {y:.1f}h290" stroke="#ddd"/>'
            f'<text x="46" y="{y + 4:.1f}" text-anchor="end">{mean:.0f}</text>'
        )
    for num_each in mine:
        x, _ = place(num_each, low).split(",")
        parts.append(f'<text x="{x}" y="326" text-anchor="middle">{num_each}</text>')
    for number, strategy in enumerate(strategies):
        curve = [
            place(num_each, statistics.fmean(values[strategy].values()))
            for num_each, values in mine.items()
            if strategy in values
        ]
        colour = _COLOURS[number % len(_COLOURS)]
        dots = "".join(
            f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'
            for x, y in (one.split(",") for one in curve)
        )
        line = " ".join(curve)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}"/>{dots}')
    return parts
