"""A cell is measured on the images of its draw, and every strategy of a draw sees the same."""

from typing import Any

import numpy as np
import pytest
from sklearn import linear_model

from benchmarks.quality.cells import Cell, Prepared, Table, drawn, measure, prepared
from benchmarks.quality.report import REFERENCE
from benchmarks.quality.sets import first, image_sets, textured
from regraft.contract.strategies import Coral, LinearProbe
from worker.engine.backbone import prepared as backbone_of

_sklearn: Any = linear_model


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Drawings and photos on tiny pictures, some of them to judge by."""
    folder = tmp_path_factory.mktemp("quality")
    (images,) = (one for one in image_sets(folder, _nobody) if one.name == "drawings-to-photos")
    images = images._replace(source=first(images.source, 2))
    backbone = backbone_of("efficientnet_lite0", None)
    return prepared(images, Table(32, 3, is_tuned=True), backbone, folder)


def _nobody(_text: str) -> None:
    """Listen to nothing."""


def test_a_table_has_its_own_pictures_and_judges(given: Prepared) -> None:
    """A curve at one size would be compared with one at another."""
    assert given.images.name == "drawings-to-photos at 32 px"
    assert len(given.images.tests) == 3 * 8
    assert given.backbone.record.input_size == 32


def test_a_draw_is_the_same_for_every_strategy_and_another_for_the_next(given: Prepared) -> None:
    """Differences would be those of the images, not of the strategies."""
    one = drawn(given.images, 3, 0)
    assert one == drawn(given.images, 3, 0) != drawn(given.images, 3, 1)
    assert one is not None
    assert len(one) == 3 * 8
    assert drawn(given.images, 99, 0) is None


def test_a_strategy_is_measured_with_its_source_and_its_guard(given: Prepared) -> None:
    """What is measured would not be what a job delivers."""
    cell = Cell(given.images.name, 1, 0, "coral")
    row = measure(cell, Coral(), given, is_guarded=True)
    head = measure(cell._replace(strategy="linear_probe"), LinearProbe(), given, is_guarded=False)
    assert row is not None
    assert head is not None
    assert "no images to compare coral" in row["guard"]
    assert row["delivered"] == head["accuracy"] == head["delivered"]
    assert row["num_tests"] == 24
    plain = measure(cell, Coral(), given, is_guarded=False)
    assert plain is not None
    assert "delivered" not in plain
    assert plain["accuracy"] == row["accuracy"]


def test_the_reference_has_the_l2_of_plain_logistic_regression(given: Prepared) -> None:
    """`auto` would be held against a weaker one than everybody has at hand."""
    shown = drawn(given.images, 3, 0) or []
    known: Any = _sklearn.LogisticRegression(C=1.0, max_iter=5000)
    known.fit(given.features.of(shown).numpy(), [one.label for one in shown])
    tests = given.images.tests
    guessed = known.predict(given.features.of(tests).numpy())
    right = np.mean([one == image.label for one, image in zip(guessed, tests, strict=True)])
    cell = Cell(given.images.name, 3, 0, REFERENCE)
    row = measure(cell, LinearProbe(), given, is_guarded=False)
    assert row is not None
    assert row["accuracy"] == pytest.approx(100 * right, abs=1e-3)


def test_a_textured_picture_hides_its_shape_and_is_always_the_same() -> None:
    """The shift would be none, or another on every machine."""
    grey = np.zeros((28, 28), np.uint8)
    grey[8:20, 8:20] = 200
    one, again, other = textured(grey, 5), textured(grey, 5), textured(grey, 6)
    assert one.shape == (28, 28, 3)
    assert (one == again).all()
    assert (one != other).mean() > 0.9
    background = textured(np.zeros_like(grey), 5).astype(int)
    assert (abs(background[8:20, 8:20] - 200) == one[8:20, 8:20]).mean() > 0.9
    assert background.std() > 20
