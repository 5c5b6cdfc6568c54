"""A finished run whose labels and file names are hostile, without any training."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from regraft.contract.catalog import BACKBONES
from regraft.contract.metrics import JobMetrics, Transfer
from tests.support.jobs import picture
from tests.worker.engine.conftest import DATASET
from worker.engine import evaluate
from worker.engine.adapted import Adapted
from worker.engine.backbone import Backbone
from worker.engine.data import Image
from worker.engine.documents.facts import Facts
from worker.engine.export.model import Trained
from worker.engine.features import Features
from worker.engine.head import Head
from worker.engine.held_out import predictions
from worker.engine.inputs import Inputs
from worker.engine.runspec import DataSource, RunSpec
from worker.engine.splits import Split

HOSTILE = ["<script>alert(1)</script>", "a|b\n# c `d` [e](http://f)", '"onload="x', "größe 商品"]


def _drawn(seed: int) -> Tensor:
    return torch.randn(8, generator=torch.Generator().manual_seed(seed))


def _images(folder: Path, first: int, count: int) -> list[Image]:
    found = []
    for number in range(first, first + count):
        path = folder / f"{number}.png"
        data = picture(number, (200, 120))
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        name, label = f"<b>{number}</b>.png", HOSTILE[number % len(HOSTILE)]
        found.append(Image(sha256, name, label, None, None, path, 0, len(data)))
    return found


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    """Forty images trained on and as many held out, of which most are mistaken."""
    train, held_out = _images(tmp_path, 0, 40), _images(tmp_path, 100, 40)
    rows = {one.sha256: _drawn(seed) for seed, one in enumerate((*train, *held_out))}
    features = Features(rows, {}, {}, 0.0, len(rows), "key")
    return _facts(features, Split(train, held_out, []), tmp_path)


def _facts(features: Features, parts: Split, folder: Path) -> Facts:
    weight = torch.randn(len(HOSTILE), 8, generator=torch.Generator().manual_seed(1))
    head = Head(weight, torch.zeros(len(HOSTILE)), None)
    backbone = Backbone(BACKBONES["efficientnet_lite0"], nn.Identity())
    model = Adapted(backbone, head, features, is_frozen=True)
    given = Inputs(parts, features, HOSTILE, source=None, unlabelled=[], leaks={})
    held_out = parts.validation
    metrics = evaluate.metrics(HOSTILE, given.truth(held_out), model.logits(held_out))
    trained = Trained(model, HOSTILE, JobMetrics(validation=metrics), Transfer(explanation="<i>"))
    spec = RunSpec(
        run="run",
        name="<home> goods",
        spec={"dataset": DATASET},
        data=DataSource(folder=folder),
        workspace=folder,
        cache=folder,
        shared_cache=folder,
    )
    series = {"train_loss": [(0, 2.0), (10, 1.0), (20, 1.5)], "single": [(0, 1.0)]}
    return Facts(spec, trained, given, predictions(model, given), series)
