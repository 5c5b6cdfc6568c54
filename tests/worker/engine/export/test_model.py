"""The files of a model are what others can load without us."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from regraft.contract.catalog import BACKBONES
from tests.worker.engine.conftest import TrainedRun
from worker.engine.data import Image
from worker.engine.preprocess import batches
from worker.engine.shipped.predict import Predictor


def test_timm_loads_the_tensors_strictly_and_answers_alike(
    trained: TrainedRun, images: list[Image]
) -> None:
    """A merchant's data scientist could not go on from the delivered weights."""
    path = trained.folder / "model.safetensors"
    with safe_open(path, framework="pt") as opened:
        facts = opened.metadata()
    labels = json.loads(facts["labels"])
    module = timm.create_model(facts["architecture"].split("/")[1], num_classes=len(labels))
    module.load_state_dict(load_file(path), strict=True)
    predictor = Predictor(trained.folder)
    (batch,) = batches(images[:6], predictor.settings, 6)
    with torch.inference_mode():
        expected = module.eval()(batch.pixels).softmax(dim=1).numpy()
    found = predictor.probabilities([image.read() for image in images[:6]])
    assert np.abs(found - expected).max() < 1e-3


def test_the_facts_beside_the_model_are_plain_json(trained: TrainedRun) -> None:
    """Other languages could not read the labels or the metrics."""

    def read(name: str) -> dict[str, object]:
        text = (trained.folder / name).read_text(encoding="utf-8")
        found: dict[str, object] = json.loads(text, parse_constant=pytest.fail)
        return found

    assert read("labels.json")["labels"] == ["ankle-boot", "bag", "sandal", "sneaker"]
    assert read("preprocess.json")["mean"] == [0.5, 0.5, 0.5]
    done = trained.result.done
    assert read("metrics.json") == {
        "metrics": done.metrics.model_dump(mode="json"),
        "transfer": done.transfer.model_dump(
            mode="json", exclude={"candidates": {"__all__": {"seconds"}}}
        ),
    }


def test_the_head_alone_is_the_models_own(trained: TrainedRun) -> None:
    """A merchant with the public backbone would have to download it again with each model."""
    whole, head = (
        load_file(trained.folder / name) for name in ("model.safetensors", "head.safetensors")
    )
    assert set(head) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(head[name], whole[name]) for name in head)
    with safe_open(trained.folder / "head.safetensors", framework="pt") as opened:
        facts = opened.metadata()
    assert facts["weights_fingerprint"] == BACKBONES["efficientnet_lite0"].weights_fingerprint
    assert json.loads(facts["labels"]) == ["ankle-boot", "bag", "sandal", "sneaker"]


def test_a_run_comes_with_its_card_and_its_report(trained: TrainedRun) -> None:
    """What is known of a model would have to be asked from its maker."""
    found = trained.result.done.metrics.test
    assert found is not None
    for name in ("README.md", "report.html"):
        text = (trained.folder / name).read_text(encoding="utf-8")
        assert f"{found.accuracy:.1%}" in text
        assert trained.result.done.labels[0] in text
    assert "cv accuracy" in text
