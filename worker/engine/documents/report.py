"""`report.html`: one page without outside resources, readable offline and by screen readers.

May import Pillow, the contract and the engine's own modules.
"""

import base64
import io
from collections.abc import Sequence

from PIL import Image as Pillow

from regraft.contract.held_out import Prediction
from regraft.contract.metrics import ConfusionMatrix, Metrics
from worker.engine.data import Image
from worker.engine.documents.charts import curve
from worker.engine.documents.facts import Facts, interval, percent
from worker.engine.documents.markup import Html, empty, joined, table, tag

MAX_ERRORS = 12
MAX_LABELS = 30  # of a confusion matrix that is drawn whole; of more the worst pairs are listed
_MAX_PAIRS = 30
_PIXELS = 96
_SHADES = 5
_OF_THE_MACHINE = frozenset({"images_per_second"})  # says nothing of the model
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:600}
th,td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #8884}
th[scope=row],th:first-child{text-align:left}.wide{overflow-x:auto}
.s1{background:#d9770622}.s2{background:#d9770644}.s3{background:#d9770677}.s4{background:#d97706aa}
.right{outline:1px solid #8888}figure{display:inline-block;margin:.5rem;vertical-align:top}
figcaption{font-size:.85rem;max-width:20rem}svg{width:20rem}
svg text{font-size:11px;fill:currentColor}
"""


def report(facts: Facts) -> bytes:
    """Return the page; the same bytes for the same facts."""
    name = facts.spec.name
    head = joined(
        empty("meta", charset="utf-8"),
        empty("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        empty("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{name}: model report"),
        tag("style", Html(_STYLE)),
    )
    body = tag("main", tag("h1", name), *_sections(facts))
    page = tag("html", tag("head", head), tag("body", body), lang="en")
    return f"<!doctype html>\n{page}\n".encode()


def _sections(facts: Facts) -> list[Html]:
    found = [tag("p", facts.trained.transfer.explanation), _accuracies(facts)]
    if facts.measured:
        where, metrics = facts.measured[0]
        found += [_classes(where, metrics), _confusions(where, metrics.confusion_matrix)]
        found += _errors(facts)
    return [one for one in (*found, *_curves(facts)) if one]


def _accuracies(facts: Facts) -> Html:
    columns = ["measured on", "accuracy", "95% interval", "macro F1", "images"]
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
    if not rows:
        return tag("p", "No image was held out: the accuracy is not known.")
    return joined(tag("h2", "How good it is"), table("This model, and others", columns, rows))


def _classes(where: str, metrics: Metrics) -> Html:
    columns = ["label", "images", "precision", "recall", "F1", "answered from"]
    rows = [
        [
            one.label,
            str(one.num_images),
            percent(one.precision),
            percent(one.recall),
            percent(one.f1),
            percent(one.threshold),
        ]
        for one in metrics.per_class
    ]
    return joined(tag("h2", "Each label"), table(f"On the {where}", columns, rows))


def _confusions(where: str, matrix: ConfusionMatrix) -> Html:
    title = tag("h2", "What is taken for what")
    if len(matrix.labels) > MAX_LABELS:
        return joined(title, _pairs(matrix))
    caption = f"Rows: the label of the {where}. Columns: what the model took them for."
    head = (tag("th", name, scope="col") for name in ("label", *matrix.labels))
    rows = (
        tag("tr", tag("th", label, scope="row"), *_cells(counts, number))
        for number, (label, counts) in enumerate(zip(matrix.labels, matrix.counts, strict=True))
    )
    body = (tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *rows))
    drawn = tag("table", *body)
    return joined(title, tag("div", drawn, class_="wide", tabindex="0"))


def _cells(counts: Sequence[int], own: int) -> list[Html]:
    total = sum(counts) or 1
    shades = [-(-_SHADES * count // total) if count else 0 for count in counts]
    return [
        tag("td", str(count), class_="right" if number == own else f"s{min(shade, _SHADES - 1)}")
        for number, (count, shade) in enumerate(zip(counts, shades, strict=True))
    ]


def _pairs(matrix: ConfusionMatrix) -> Html:
    pairs = sorted(
        (-count, matrix.labels[row], matrix.labels[column])
        for row, counts in enumerate(matrix.counts)
        for column, count in enumerate(counts)
        if count and row != column
    )
    rows = [[label, taken, str(-count)] for count, label, taken in pairs[:_MAX_PAIRS]]
    return table("The most frequent confusions", ["label", "taken for", "images"], rows)


def _errors(facts: Facts) -> list[Html]:
    """Return pictures of the surest mistakes."""
    said = facts.said.test or facts.said.validation
    images = {image.sha256: image for image in (*facts.given.parts[1], *facts.given.parts[2])}
    wrong = [one for one in said if one.predicted != one.label]
    wrong.sort(key=lambda one: (-one.probability, one.sha256))
    if not wrong:
        return []
    count = f"{len(wrong)} of {len(said)} images were taken for another label; the surest first."
    figures = (_figure(one, images[one.sha256]) for one in wrong[:MAX_ERRORS])
    return [tag("h2", "Mistakes"), tag("p", count), *figures]


def _figure(one: Prediction, image: Image) -> Html:
    said = f"{one.label}, taken for {one.predicted} ({one.probability:.0%})"
    data = base64.b64encode(thumbnail(image.read())).decode()
    picture = empty("img", src=f"data:image/jpeg;base64,{data}", alt=said)
    return tag("figure", picture, tag("figcaption", said, empty("br"), one.image))


def thumbnail(encoded: bytes) -> bytes:
    """Return a small JPEG of an image, without anything but its pixels."""
    with Pillow.open(io.BytesIO(encoded)) as opened:
        opened.draft("RGB", (_PIXELS, _PIXELS))
        small = opened.convert("RGB")
    small.thumbnail((_PIXELS, _PIXELS))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=80)
    return out.getvalue()


def _curves(facts: Facts) -> list[Html]:
    drawn = [
        curve(name.replace("_", " "), points)
        for name, points in sorted(facts.series.items())
        if len(points) > 1 and name not in _OF_THE_MACHINE
    ]
    return [tag("h2", "While it trained"), *drawn] if drawn else []
