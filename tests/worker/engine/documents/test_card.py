"""The card says what the run found, and nothing that a label could make of it."""

import re

from regraft.contract.metrics import Abstention, Gain, JobMetrics
from tests.worker.engine.documents.conftest import HOSTILE
from worker.engine.documents.card import card, safe
from worker.engine.documents.facts import Facts


def test_the_card_tells_what_a_buyer_must_know(facts: Facts) -> None:
    """Nobody could tell later what the model was made from, or how far to trust it."""
    text = card(facts).decode()
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads == ["Quality", "Data", "Method", "Limits", "Licence", "Origin"]
    found = facts.trained.metrics.validation
    assert found is not None
    low, high = found.accuracy_interval
    for said in (
        f"| {found.accuracy:.1%} | {low:.1%} to {high:.1%} |",
        "Trained on 40 images, held out 40.",
        f"Dataset `{facts.spec.spec.dataset}`",
        "`linear_probe` on `efficientnet_lite0`",
        "published under Apache-2.0 and are unchanged",
        "efficientnet_lite0 (5793442",
        "seed: `0`",
    ):
        assert said in text, said


def test_the_card_names_what_was_delivered(facts: Facts) -> None:
    """Where the guard keeps a model back, the card would describe one that nobody has."""
    assert "Delivered: " not in card(facts).decode()
    kept_back = facts.trained._replace(strategy="prototype")
    text = card(facts._replace(trained=kept_back)).decode()
    assert "Asked for: `linear_probe`" in text
    assert "Delivered: `prototype`, which trains " in text


def test_labels_stay_text(facts: Facts) -> None:
    """A label would become a link, a heading or a table of its own."""
    text = card(facts).decode()
    assert "<script>" not in text
    assert "](http" not in text
    assert "\n# c" not in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in {3, 6}
    assert safe("a|b*c") == r"a\|b\*c"
    assert HOSTILE[3] in text


def test_limits_follow_from_the_figures(facts: Facts) -> None:
    """A label that is never recognised, or hardly measured, would be sold like any other."""
    found = facts.trained.metrics.validation
    assert found is not None
    first = found.per_class[0].model_copy(update={"num_images": 4, "recall": 0.0})
    few = Abstention(num_answered=10, coverage=0.25, accuracy=0.9, accuracy_interval=(0.6, 1.0))
    changes = {"per_class": [first, *found.per_class[1:]], "abstention": few}
    weak = found.model_copy(update=changes)
    trained = facts.trained._replace(metrics=JobMetrics(validation=weak))
    text = card(facts._replace(trained=trained)).decode()
    assert f"Fewer than 10 of the held-out images show: {safe(HOSTILE[0])}." in text
    assert f"It recognised none of the held-out images of: {safe(HOSTILE[0])}" in text
    assert "it answers 25.0% of the held-out images, 90.0% of these rightly." in text
    blind = facts.trained._replace(metrics=JobMetrics())
    assert "no figure says how good it is" in card(facts._replace(trained=blind)).decode()


def test_the_gain_comes_with_its_interval(facts: Facts) -> None:
    """A gain of chance would read like a promise."""
    gain = Gain(points=12.5, interval=(-3.0, 28.0))
    transfer = facts.trained.transfer.model_copy(update={"gain": gain})
    text = card(facts._replace(trained=facts.trained._replace(transfer=transfer))).decode()
    assert "+12.5 points of accuracy (95% interval -3.0 to +28.0)" in text


def test_the_same_facts_give_the_same_bytes(facts: Facts) -> None:
    """A repeated job would look changed."""
    assert card(facts) == card(facts)
