"""A model that answers otherwise than it was judged is not delivered."""

from pathlib import Path

import numpy as np
import pytest
import torch

from regraft.contract.errors import ErrorCode
from tests.worker.engine.conftest import TrainedRun
from worker.engine.data import Image
from worker.engine.export import parity
from worker.engine.export.segments import ModelFile, Piece, model_file
from worker.engine.failures import EngineError
from worker.engine.features import Features
from worker.engine.head import Head
from worker.engine.shipped.predict import Floats


def _chances(*rows: tuple[float, ...]) -> Floats:
    return np.array(rows, dtype=np.float32)


def test_the_tolerance_has_room_on_real_photos(trained: TrainedRun) -> None:
    """Good jobs would fail by chance, or the tolerance would prove nothing."""
    (head,), (photos,) = (
        trained.recorder.values["parity_head"],
        trained.recorder.values["parity_photos"],
    )
    assert head < parity.HEAD_TOLERANCE / 10
    assert photos < parity.PHOTO_TOLERANCE / 10


def test_another_label_fails_and_a_tie_does_not() -> None:
    """A flipped label would be shipped; a coin toss between equals would end good jobs."""
    expected = _chances((0.6, 0.4), (0.5005, 0.4995))
    tied = _chances((0.6, 0.4), (0.4995, 0.5005))
    assert parity.compare("x", expected, tied, 0.01) == pytest.approx(0.001, abs=1e-5)
    with pytest.raises(EngineError, match="1 of 2 images get another label") as caught:
        parity.compare("x", expected, _chances((0.4, 0.6), (0.5005, 0.4995)), 0.01)
    assert caught.value.code is ErrorCode.PARITY_FAILED


def test_numbers_that_are_none_fail() -> None:
    """NaN compares with nothing: a broken model would pass."""
    with pytest.raises(EngineError):
        parity.compare("x", _chances((0.6, 0.4)), _chances((np.nan, np.nan)), 0.01)


def test_a_changed_head_in_the_shipped_file_is_caught(
    trained: TrainedRun, images: list[Image], features: Features, tmp_path: Path
) -> None:
    """The check would look at something else than the file that is delivered."""
    message = trained.result.produced
    refs = {ref.sha256: ref for ref in message.blobs}
    files: list[ModelFile] = [
        model_file(
            file.name,
            [Piece(refs[part.sha256], part.offset, part.length) for part in file.segments],
        )
        for file in message.files
    ]
    head = Head(torch.randn(4, 1280), torch.zeros(4), None)
    chosen = images[:4]
    expected = head.logits(features.of(chosen)).softmax(dim=1)
    with pytest.raises(EngineError, match="shipped predictor"):
        parity.check_photos(files, tmp_path, chosen, expected)
