"""The bundle works on a machine that has never heard of us."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.worker.engine.conftest import SAMPLES, TrainedRun
from worker.engine.data import Image
from worker.engine.preprocess import batches
from worker.engine.shipped.predict import Predictor


@pytest.fixture(scope="module")
def unpacked(trained: TrainedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, unzipped far from the repository."""
    folder = tmp_path_factory.mktemp("elsewhere") / "my model"
    with zipfile.ZipFile(trained.folder / "bundle.zip") as opened:
        opened.extractall(folder)
    return folder


def _run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the shipped script with nothing but its three dependencies in reach."""
    return subprocess.run(
        [python, "-I", str(folder / "predict.py"), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder.parent,
    )


def test_it_classifies_held_out_photos_about_as_well_as_the_job_said(
    unpacked: Path, trained: TrainedRun, bare_python: Path
) -> None:
    """The promise of the product: what is downloaded recognises products."""
    done = _run(bare_python, unpacked, str(SAMPLES / "target-test"), "--json", "--top", "2")
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 100
    assert all(len(answer["top"]) == 2 for answer in answers)
    right = sum(answer["label"] == Path(answer["image"]).parent.name for answer in answers)
    test = trained.result.done.metrics.test
    assert test is not None
    assert abs(right - test.accuracy * 100) <= 1
    answered = [answer for answer in answers if not answer["abstained"]]
    assert test.abstention is not None
    assert 0 < len(answered) < 100
    assert abs(len(answered) - test.abstention.num_answered) <= 1
    lowest = {one.label: one.threshold for one in test.per_class}
    for answer in answers:
        threshold = lowest[answer["label"]]
        assert answer["abstained"] == (threshold is None or answer["probability"] < threshold)


_INSTALLED = """
from importlib.metadata import distributions
print(*sorted(one.name.lower() for one in distributions()))
"""


def test_it_is_run_with_nothing_but_what_it_says(bare_python: Path) -> None:
    """A merchant would have to install torch to use the model."""
    command = [str(bare_python), "-I", "-c", _INSTALLED]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    required = {"flatbuffers", "packaging", "protobuf"}  # by onnxruntime
    assert set(done.stdout.split()) - required == {"onnxruntime", "numpy", "pillow"}


_TENSORS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy, predict
settings = predict.Predictor().settings
tensors = [predict.prepare(Path(path).read_bytes(), settings) for path in sys.argv[3:]]
numpy.save(sys.argv[2], numpy.stack(tensors))
"""


def test_its_input_tensors_are_the_engines_bit_for_bit(
    unpacked: Path, images: list[Image], tmp_path: Path
) -> None:
    """Other pixels than in training cost accuracy that nobody finds again."""
    paths = [str(image.path) for image in images[:10]]
    out = tmp_path / "tensors.npy"
    arguments = [sys.executable, "-I", "-c", _TENSORS, str(unpacked), str(out), *paths]
    subprocess.run(arguments, check=True, timeout=60)
    (batch,) = batches(images[:10], Predictor(unpacked).settings, 10)
    assert np.array_equal(np.load(out), batch.pixels.numpy())


def test_one_broken_photo_is_named_and_the_others_are_answered(
    unpacked: Path, tmp_path: Path, bare_python: Path
) -> None:
    """A shop's folder with one bad file would give no answers."""
    shutil.copy(next((SAMPLES / "target-test" / "bag").glob("*.png")), tmp_path / "a bag.png")
    (tmp_path / "broken.jpg").write_text("not a photo")
    done = _run(bare_python, unpacked, str(tmp_path), str(tmp_path / "missing.png"))
    assert done.returncode == 1
    assert "a bag.png: " in done.stdout
    assert "%" in done.stdout
    assert "broken.jpg: is not an image" in done.stderr
    assert "missing.png: " in done.stderr
    assert "Traceback" not in done.stderr


def test_no_photos_give_no_rows(unpacked: Path) -> None:
    """A loop over an empty basket would crash the caller."""
    assert Predictor(unpacked).probabilities([]).shape == (0, 4)
    assert Predictor(unpacked).answer([]) == []
