"""The report is one closed page: nothing is loaded, nothing runs, everything has a name."""

import base64
import io
from html.parser import HTMLParser

from PIL import Image

from regraft.contract.metrics import JobMetrics
from tests.worker.engine.documents.conftest import HOSTILE
from worker.engine.documents.charts import curve
from worker.engine.documents.facts import Facts
from worker.engine.documents.report import MAX_ERRORS, MAX_LABELS, report

_EMPTY = {"meta", "img", "br"}


class Page(HTMLParser):
    """Reads a page and remembers its elements, texts and what was left open."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of this kind."""
        return [attributes for name, attributes in self.seen if name == tag]


def test_nothing_of_the_merchants_is_markup(facts: Facts) -> None:
    """A product's name would run as a script on the machine of whoever opens the report."""
    page = Page(report(facts))
    assert page.opened == []
    kinds = {name for name, _ in page.seen}
    assert not kinds & {"script", "b", "i", "a", "link", "iframe", "object"}
    for _, attributes in page.seen:
        assert not any(name.startswith("on") for name in attributes)
    for label in HOSTILE:
        assert label in page.text
    assert "<b>126</b>.png" in page.text
    assert "<home> goods" in page.text


def test_it_needs_nothing_but_itself(facts: Facts) -> None:
    """It would show gaps offline, and tell others when it is opened."""
    page = Page(report(facts))
    sources = [str(picture["src"]) for picture in page.all("img")]
    assert len(sources) == MAX_ERRORS
    for source in sources:
        data = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"), validate=True)
        with Image.open(io.BytesIO(data)) as opened:
            assert max(opened.size) <= 96
            assert not opened.getexif()
    policies = [one.get("content") for one in page.all("meta") if "http-equiv" in one]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert b"http://www" not in report(facts)
    assert len(report(facts)) < 100_000


def test_a_screen_reader_can_tell_what_is_shown(facts: Facts) -> None:
    """Who cannot see the curves and the colours would learn nothing from it."""
    page = Page(report(facts))
    assert page.all("html")[0]["lang"] == "en"
    assert all(picture["alt"] for picture in page.all("img"))
    assert [one["role"] for one in page.all("svg")] == ["img"]
    assert "train loss: from 2 to 1.5 over steps 0 to 20" in page.text
    assert all(head.get("scope") for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))


def test_the_figures_are_those_of_the_metrics(facts: Facts) -> None:
    """The page would praise a model that the metrics do not."""
    found = facts.trained.metrics.validation
    assert found is not None
    text = Page(report(facts)).text
    assert f"{found.accuracy:.1%}" in text
    assert f"{found.accuracy_interval[0]:.1%} to {found.accuracy_interval[1]:.1%}" in text
    wrong = found.num_images - round(found.accuracy * found.num_images)
    assert f"{wrong} of 40 images were taken for another label" in text


def test_the_same_facts_give_the_same_bytes(facts: Facts) -> None:
    """A repeated job would look changed."""
    assert report(facts) == report(facts)


def test_without_held_out_images_it_says_so(facts: Facts) -> None:
    """A one-shot job would fail at its last step."""
    silent = facts.trained._replace(metrics=JobMetrics())
    assert "not known" in Page(report(facts._replace(trained=silent))).text


def test_many_labels_are_listed_by_their_confusions(facts: Facts) -> None:
    """A thousand labels would make a table of a million cells."""
    found = facts.trained.metrics.validation
    assert found is not None
    labels = [f"label {number}" for number in range(MAX_LABELS + 1)]
    counts = [[0] * len(labels) for _ in labels]
    counts[3][7] = 9
    matrix = found.confusion_matrix.model_copy(update={"labels": labels, "counts": counts})
    changed = found.model_copy(update={"confusion_matrix": matrix})
    trained = facts.trained._replace(metrics=JobMetrics(validation=changed))
    page = Page(report(facts._replace(trained=trained)))
    assert "label 3label 79" in page.text
    assert len(page.all("td")) < 100


def test_a_flat_curve_stays_in_its_frame() -> None:
    """A loss that never moved would divide by zero."""
    drawn = curve("flat", [(5, 1.0), (5, 1.0)])
    assert 'points="52.0,8.0 52.0,8.0"' in drawn
