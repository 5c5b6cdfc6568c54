"""A head with a source is trusted only where the target's own images are too few to tell."""

import pytest

from tests.worker.engine.recorder import Recorder
from tests.worker.engine.strategies.planner.test_trust import TEN, rows_of
from tests.worker.engine.strategies.vectors import Vectors, task_of
from worker.engine.backbone import Backbone
from worker.engine.strategies.planner.heads import judged_heads

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("num_each", "is_trusted"), [(5, True), (6, False)])
def test_from_sixty_images_on_comparison_decides(
    backbone: Backbone, num_each: int, is_trusted: bool
) -> None:
    """A source would make the head of a merchant whose own photos say enough."""
    vectors = Vectors()
    target, source = TEN * num_each, TEN * 20
    shown = vectors.images(rows_of(target, 1, shift=2.0), target)
    beside = vectors.images(rows_of(source, 2), source)
    heads = judged_heads(task_of(backbone, vectors, shown, beside), Recorder())
    trusted = [one.name for one in heads if one.is_trusted]
    assert trusted == (["instance_weighting"] if is_trusted else [])
