"""Predicting with a bundle alone: a small real ONNX model and the predict.py that is shipped."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save
from PIL import Image

from tests.regraft.cli.conftest import Run

SHIPPED = Path(__file__).parents[3] / "worker" / "engine" / "shipped" / "predict.py"
SETTINGS = {
    "resize": 16,
    "input_size": 16,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bilinear",
}


def reddest() -> bytes:
    """Return a model that tells red, green and blue images apart by their mean colour."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    shape: list[str | int | None] = ["n", 3, 16, 16]
    graph = helper.make_graph(
        nodes,
        "reddest",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32) * 3, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    buffer = io.BytesIO()
    save(model, buffer)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An unpacked bundle."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    names = {"labels": ["red", "green", "blue"], "thresholds": [0.5, 0.999, None]}
    (folder / "model.onnx").write_bytes(reddest())
    (folder / "labels.json").write_text(json.dumps(names))
    (folder / "preprocess.json").write_text(json.dumps(SETTINGS))
    shutil.copy(SHIPPED, folder / "predict.py")
    return folder


@pytest.fixture
def bundle(folder: Path, tmp_path: Path) -> Path:
    """The bundle as it is downloaded."""
    path = tmp_path / "bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, file.name)
    return path


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A folder with one image of each colour."""
    folder = tmp_path / "colours"
    folder.mkdir()
    for name, colour in {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}.items():
        Image.new("RGB", (40, 30), colour).save(folder / f"{name}.png")
    return folder


def test_a_bundle_recognises_photos(bare: Run, bundle: Path, colours: Path) -> None:
    """The model must be of use without us: no service, no key, no network."""
    ran = bare("predict", bundle, colours, "--top", "2", "--json")
    assert ran.code == 0, ran.out
    for result in ran.json["results"]:
        assert result["label"] == Path(result["image"]).stem
        assert result["probability"] > 0.9
        assert len(result["top"]) == 2
    assert len(ran.json["results"]) == 3


def test_an_answer_below_its_threshold_is_marked(bare: Run, bundle: Path, colours: Path) -> None:
    """Whoever acts on every label would act on those that are too often wrong."""
    ran = bare("predict", bundle, colours, "--json")
    abstained = {result["label"]: result["abstained"] for result in ran.json["results"]}
    assert abstained == {"red": False, "green": True, "blue": True}
    shown = bare("predict", bundle, colours / "red.png", colours / "green.png").out
    assert "abstains, perhaps green" in shown
    assert "perhaps red" not in shown


def test_a_folder_does_as_well(bare: Run, folder: Path, colours: Path) -> None:
    """Whoever has unpacked it need not pack it again; and nothing is written into it."""
    before = sorted(folder.rglob("*"))
    ran = bare("predict", folder, colours / "red.png")
    assert ran.code == 0
    assert "red 99" in ran.out
    assert sorted(folder.rglob("*")) == before


def test_one_bad_photo_costs_only_itself(bare: Run, bundle: Path, colours: Path) -> None:
    """One broken file among thousands must not end the run, nor be overlooked."""
    (colours / "broken.jpg").write_text("no image")
    ran = bare("predict", bundle, colours, colours / "missing.jpg", "--json")
    assert ran.code == 1
    failed = {Path(one["image"]).name for one in ran.json["results"] if one["error"]}
    assert failed == {"broken.jpg", "missing.jpg"}
    assert sum(one["label"] is not None for one in ran.json["results"]) == 3


@pytest.mark.parametrize("damage", ["labels.json", "model.onnx", "predict.py"])
def test_what_is_no_bundle_is_said(bare: Run, folder: Path, colours: Path, damage: str) -> None:
    """A wrong zip would end in an import error of something the user never wrote."""
    (folder / damage).unlink()
    ran = bare("predict", folder, colours)
    assert ran.code == 2
    assert damage in ran.err


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + b"\0" * 18, b"hello"])
def test_a_file_that_is_no_bundle_is_said(
    bare: Run, tmp_path: Path, colours: Path, content: bytes
) -> None:
    """The same for a file that is something else."""
    path = tmp_path / "other.zip"
    path.write_bytes(content)
    ran = bare("predict", path, colours, "--json")
    assert ran.code == 2
    assert "other.zip" in ran.error["message"]


def test_a_damaged_model_is_said(bare: Run, folder: Path, colours: Path) -> None:
    """ONNX Runtime's own errors are no sentence for a merchant."""
    (folder / "model.onnx").write_bytes(b"damaged")
    ran = bare("predict", folder, colours)
    assert ran.code == 2
    assert "no model that can be loaded" in ran.err


def test_missing_packages_are_named(bare: Run, folder: Path, colours: Path) -> None:
    """The base install has no ONNX Runtime: the error must say what to install."""
    code = (folder / "predict.py").read_text()
    (folder / "predict.py").write_text(code.replace("import onnxruntime", "import onnxruntime_no"))
    ran = bare("predict", folder, colours)
    assert ran.code == 2
    assert "onnxruntime_no" in ran.err
    assert "pip install onnxruntime numpy pillow" in ran.err
