"""What models share is made once, and made again when the disk has changed it."""

from pathlib import Path

from tests.worker.engine.conftest import TrainedRun
from worker.engine.backbone import Backbone
from worker.engine.export.shared import shared_parts
from worker.engine.files import file_hash
from worker.engine.weights import TENSOR_HASHES


def test_the_second_job_exports_nothing(trained: TrainedRun, backbone: Backbone) -> None:
    """Every job would pay six seconds for the same bytes."""
    said: list[str] = []
    parts = shared_parts(backbone, trained.spec.shared_cache, True, said.append)
    assert said == []
    assert parts.graph is not None
    assert trained.recorder.said("once for this installation")


def test_a_damaged_part_is_made_anew(tmp_path: Path, backbone: Backbone) -> None:
    """Every model of the installation would ship a broken backbone."""
    parts = shared_parts(backbone, tmp_path, False, print)
    assert parts.graph is None
    assert file_hash(parts.tensors) == TENSOR_HASHES["efficientnet_lite0"]
    parts.tensors.write_bytes(parts.tensors.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    shared_parts(backbone, tmp_path, False, print)
    assert file_hash(parts.tensors) == TENSOR_HASHES["efficientnet_lite0"]
