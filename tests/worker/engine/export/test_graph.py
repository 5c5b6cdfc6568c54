"""The ONNX model in two parts is one valid model, and its big part is the same everywhere."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from regraft.contract.errors import ErrorCode
from tests.worker.engine.conftest import TrainedRun
from tests.worker.engine.random_backbone import random_record
from worker.engine.backbone import Backbone, forward, of_record
from worker.engine.export import graph
from worker.engine.failures import EngineError
from worker.engine.head import Head


def test_the_two_parts_parse_as_one_valid_model(trained: TrainedRun) -> None:
    """Other runtimes and tools would refuse the file."""
    path = trained.folder / "model.onnx"
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert [value.name for value in model.graph.input] == ["images"]
    assert [value.name for value in model.graph.output] == ["probabilities", "logits"]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", graph.OPSET)]
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert (shape[0].dim_param, [size.dim_value for size in shape[1:]]) == ("batch", [3, 224, 224])


def test_nothing_of_this_machine_is_in_it(trained: TrainedRun) -> None:
    """Paths of the server would be shipped, and the bytes would differ from machine to machine."""
    content = (trained.folder / "model.onnx").read_bytes()
    for word in (b"site-packages", b"/work", b".py", b"stack_trace"):
        assert word not in content


def test_the_model_gives_torchs_probabilities_for_any_batch(
    trained: TrainedRun, backbone: Backbone
) -> None:
    """What was measured would not be what was shipped."""
    chance = torch.Generator().manual_seed(0)
    pixels = torch.rand(5, 3, 224, 224, generator=chance) * 2 - 1
    patch = onnx.load(trained.folder / "model.onnx").graph.initializer
    own = {one.name: onnx.numpy_helper.to_array(one).copy() for one in patch if "head" in one.name}
    head = Head(torch.from_numpy(own["head.weight"]), torch.from_numpy(own["head.bias"]), None)
    expected = head.logits(forward(backbone, pixels)).softmax(dim=1).numpy()
    for size in (1, 5):
        inputs = {"images": pixels[:size].numpy()}
        found = graph.run(trained.folder / "model.onnx", "probabilities", inputs)
        assert np.abs(found - expected[:size]).max() < 1e-4


_EXPORT = """
import sys
from worker.engine.backbone import prepared
from worker.engine.export.graph import backbone_graph
sys.stdout.buffer.write(backbone_graph(prepared("efficientnet_lite0", None)))
"""


def test_another_process_exports_the_same_bytes(trained: TrainedRun) -> None:
    """Each worker would store a backbone of its own: nothing would deduplicate."""
    done = subprocess.run(
        [sys.executable, "-c", _EXPORT], check=True, capture_output=True, timeout=200
    )
    (file,) = [file for file in trained.result.produced.files if file.name == "model.onnx"]
    assert hashlib.sha256(done.stdout).hexdigest() == file.segments[0].sha256


def test_a_graph_that_disagrees_is_refused(trained: TrainedRun, backbone: Backbone) -> None:
    """A wrong export would be kept for the whole installation."""
    (file,) = [file for file in trained.result.produced.files if file.name == "model.onnx"]
    (ref,) = [ref for ref in trained.result.produced.blobs if ref.sha256 == file.segments[0].sha256]
    model = onnx.load_from_string(ref.path.read_bytes())
    biases = [one for one in model.graph.initializer if len(one.dims) == 1 and one.dims[0] == 1280]
    array = onnx.numpy_helper.to_array(biases[0]) + np.float32(0.1)
    biases[0].CopyFrom(onnx.numpy_helper.from_array(array, biases[0].name))
    with pytest.raises(EngineError) as caught:
        graph.verify(backbone, model.SerializeToString())
    assert caught.value.code is ErrorCode.PARITY_FAILED
    assert Path(ref.path).is_file()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_other_families_are_exported_as_well(name: str, tmp_path: Path) -> None:
    """A job would train for hours and fail at the last step."""
    record = random_record(name, tmp_path, size=64)
    backbone = of_record(record, tmp_path)
    graph.verify(backbone, graph.backbone_graph(backbone))
