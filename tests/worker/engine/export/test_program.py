"""The saved program answers as the model does, and opening it runs nobody's code."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from regraft.contract.job import JobSpec
from tests.worker.engine.conftest import DATASET, SAMPLES
from tests.worker.engine.random_backbone import random_record
from tests.worker.engine.recorder import Recorder
from worker.engine.backbone import Backbone, forward, of_record
from worker.engine.data import load
from worker.engine.export import parity, program
from worker.engine.export.segments import Blobs, compose, model_file
from worker.engine.failures import EngineError
from worker.engine.head import Head
from worker.engine.preprocess import settings_of
from worker.engine.runner import run
from worker.engine.runspec import DataSource, RunSpec

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "mobilenet_v3_small"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A backbone of random weights for pictures of 64 pixels."""
    folder = tmp_path_factory.mktemp("weights")
    return of_record(random_record(NAME, folder), folder)


def _head(backbone: Backbone, seed: int = 0) -> Head:
    chance = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, backbone.record.num_features, generator=chance)
    return Head(weight, torch.randn(3, generator=chance), None)


@pytest.fixture(scope="module")
def content(small: Backbone) -> bytes:
    """The program of the small backbone and a head."""
    return program.saved(small, _head(small))


def test_nothing_in_it_is_a_pickle_or_of_this_machine(content: bytes) -> None:
    """Opening a downloaded model could run code, or show the paths of the server."""
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        records = {info.filename: opened.read(info) for info in opened.infolist()}
    assert records["archive/data/sample_inputs/model.pt"] == b""
    configs = [json.loads(found) for name, found in records.items() if name.endswith("config.json")]
    payloads = [one for config in configs for one in config["config"].values()]
    assert payloads
    assert not any(one["use_pickle"] for one in payloads)
    weights = {f"archive/data/weights/{one['path_name']}" for one in payloads}
    for name in records.keys() - weights:
        assert not records[name].startswith((b"PK", b"\x80"))
    for word in (b"site-packages", b"/work", b".py", b"stack_trace"):
        assert word not in content


_OPEN = """
import hashlib, sys
from pathlib import Path
import torch
from tests.worker.engine.export.test_program import _head
from tests.worker.engine.random_backbone import random_record
from worker.engine.backbone import of_record
from worker.engine.export import program
backbone = of_record(random_record("mobilenet_v3_small", Path(sys.argv[1])), Path(sys.argv[1]))
print(hashlib.sha256(program.saved(backbone, _head(backbone))).hexdigest())
def watch(event, _):
    if event == "pickle.find_class":
        sys.exit("a pickle was read")
sys.addaudithook(watch)
print(tuple(program.load(Path(sys.argv[2]))(torch.zeros(1, 3, 64, 64)).shape))
"""


def test_another_process_saves_the_same_bytes_and_reads_no_pickle(
    content: bytes, tmp_path: Path
) -> None:
    """A repeated job would make another file, and opening one would trust whoever wrote it."""
    path = tmp_path / program.FILE_NAME
    path.write_bytes(content)
    command = [sys.executable, "-c", _OPEN, str(tmp_path / "weights"), str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200)
    assert done.stdout.split("\n")[:2] == [hashlib.sha256(content).hexdigest(), "(1, 3)"]


def test_it_gives_torchs_probabilities_for_any_batch(
    small: Backbone, content: bytes, tmp_path: Path
) -> None:
    """What was measured would not be what was shipped."""
    (tmp_path / program.FILE_NAME).write_bytes(content)
    module = program.load(tmp_path / program.FILE_NAME)
    pixels = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = _head(small).logits(forward(small, pixels)).softmax(dim=1)
    for size in (1, 5):
        assert (module(pixels[:size]) - expected[:size]).abs().max() < 1e-5


def test_models_on_one_backbone_share_its_weights(small: Backbone, content: bytes) -> None:
    """Each merchant's program would store the backbone once more."""
    length = program.shared_length(content)
    weights = list(small.module.parameters())
    assert length > sum(value.numel() * value.element_size() for value in weights)
    other = program.saved(small, _head(small, seed=1))
    assert other[:length] == content[:length]
    assert other != content


def test_a_program_that_disagrees_is_refused(
    small: Backbone, content: bytes, tmp_path: Path
) -> None:
    """A wrong export would be delivered."""
    file = model_file(program.FILE_NAME, [Blobs(tmp_path / "blobs").keep(content)])
    images = load(DataSource(folder=SAMPLES / "target"))[:3]
    expected = torch.tensor([[0.0, 0.0, 1.0]] * 3).roll(1, dims=1)
    with pytest.raises(EngineError, match="saved program") as caught:
        parity.check_program([file], tmp_path, images, settings_of(small.record), expected)
    assert caught.value.code is ErrorCode.PARITY_FAILED


@pytest.mark.parametrize("strategy", ["linear_probe", "partial_finetune"])
def test_a_job_delivers_it_when_asked(
    strategy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file would be missing, or a merchant's own weights would be shared with others."""
    record = random_record(NAME, tmp_path / "weights")
    monkeypatch.setitem(BACKBONES, record.name, record)
    job: dict[str, Any] = {"dataset": DATASET, "strategy": {"type": strategy}, "guard": "off"}
    job |= {"exports": ["torch_export"], "base": {"backbone": record.name}}
    if strategy != "linear_probe":
        job["hyperparameters"] = {"epochs": 1}
    spec = RunSpec(
        run="run",
        spec=JobSpec.model_validate(job),
        data=DataSource(folder=SAMPLES / "target"),
        workspace=tmp_path / "run",
        cache=tmp_path / "cache",
        shared_cache=tmp_path / "shared",
        weights_dir=tmp_path / "weights",
        runtime="eager",
    )
    recorder = Recorder()
    result = run(spec, recorder)
    (file,) = [one for one in result.produced.files if one.name == program.FILE_NAME]
    is_frozen = strategy == "linear_probe"
    assert [part.shared for part in file.segments] == [is_frozen, False]
    assert file.segments[0].length > 10 * file.segments[1].length
    assert "model.onnx" not in {one.name for one in result.produced.files}
    (found,) = recorder.values["parity_program"]
    assert found < parity.PHOTO_TOLERANCE / 10
    compose(result.produced, tmp_path / "model")
    path = tmp_path / "model" / file.name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    with zipfile.ZipFile(tmp_path / "model" / "bundle.zip") as opened:
        assert opened.read(file.name) == path.read_bytes()
