"""The report as bars, on a logarithmic scale: one SVG, standard library alone."""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 760, 190, 90, 22, 34
_COLOURS = {"ours": "#2a7f62", "ours, again": "#2a7f62", "floor": "#9aa5b1"}
_PEER = "#c05a3c"


def picture(report: Mapping[str, Any]) -> str:
    """Return seconds of head-only jobs by tool, for each network."""
    blocks = [(name, _bars(heads)) for name, heads in report["head_only"].items()]
    longest = max(value for _, bars in blocks for _, value in bars)
    least = min(value for _, bars in blocks for _, value in bars)
    parts, y = list[str](), 0
    for name, bars in blocks:
        title = f"{name}: {report['photos']} photos, seconds (logarithmic)"
        parts.append(f'<text x="8" y="{y + 22}" font-weight="bold">{escape(title)}</text>')
        y += _TOP
        for label, value in bars:
            parts.append(_bar(label, value, y, (least, longest)))
            y += _ROW
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y + 10}" role="img"'
    style = 'font-family="sans-serif" font-size="13"'
    said = "<title>Seconds of a head-only job, by tool</title>"
    ground = f'<rect width="{_WIDTH}" height="{y + 10}" fill="#fff"/>'
    return f"{head} {style}>{said}{ground}{''.join(parts)}</svg>\n"


def _bars(heads: Mapping[str, Any]) -> list[tuple[str, float]]:
    peers = sorted(heads["peers_s"].items(), key=lambda one: -one[1])
    own = [("ours", heads["ours_s"]), ("floor", heads["floor_s"])]
    return [*peers, *own, ("ours, again", heads["again_s"])]


def _bar(label: str, value: float, y: int, span: tuple[float, float]) -> str:
    low, high = math.log(span[0] / 2), math.log(span[1])
    width = (_WIDTH - _LEFT - _RIGHT) * (math.log(value) - low) / (high - low)
    colour = _COLOURS.get(label, _PEER)
    end = _LEFT + width + 6
    return (
        f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>'
        f'<rect x="{_LEFT}" y="{y + 3}" width="{width:.1f}" height="{_ROW - 6}" fill="{colour}"/>'
        f'<text x="{end:.1f}" y="{y + 15}">{value:g}</text>'
    )
