"""The predictions that are kept with a model agree with its metrics, image by image."""

from collections import Counter

from regraft.contract.held_out import FILE_NAME, HeldOut
from regraft.contract.metrics import Metrics
from tests.worker.engine.conftest import TrainedRun
from worker.engine.shipped.predict import Predictor


def test_every_held_out_image_is_there(trained: TrainedRun) -> None:
    """A comparison of two models would rest on other images than their reports."""
    kept = HeldOut.model_validate_json((trained.folder / FILE_NAME).read_bytes())
    metrics = trained.result.done.metrics
    for found, judged in ((kept.validation, metrics.validation), (kept.test, metrics.test)):
        assert isinstance(judged, Metrics)
        assert len({one.sha256 for one in found}) == len(found) == judged.num_images
        right = sum(one.predicted == one.label for one in found)
        assert right == round(judged.accuracy * judged.num_images)
        pairs = Counter((one.label, one.predicted) for one in found)
        matrix = judged.confusion_matrix
        for label, row in zip(matrix.labels, matrix.counts, strict=True):
            assert [pairs[label, other] for other in matrix.labels] == row


def test_the_shipped_model_says_the_same(trained: TrainedRun) -> None:
    """The file would tell of a model that nobody has."""
    kept = HeldOut.model_validate_json((trained.folder / FILE_NAME).read_bytes())
    assert trained.spec.test_data is not None
    folder = trained.spec.test_data.folder
    assert folder is not None
    predictor = Predictor(trained.folder)
    chosen = kept.test[:8]
    found = predictor.probabilities([(folder / one.image).read_bytes() for one in chosen])
    for one, row in zip(chosen, found, strict=True):
        assert predictor.labels[int(row.argmax())] == one.predicted
        assert abs(float(row.max()) - one.probability) < 1e-3
