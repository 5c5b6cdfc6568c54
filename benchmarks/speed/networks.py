"""The measured networks: EfficientNet-Lite0 as published, ResNet-18 with drawn weights.

ResNet-18's published file would have to be downloaded; the clock does not see which weights
these are. May import torch and the engine.
"""

from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from regraft.contract.catalog import BACKBONES
from worker.engine.backbone import Backbone, prepared, untrained
from worker.engine.files import file_hash

NAMES = ("efficientnet_lite0", "resnet18")
DRAWN = "resnet18"
# With this stage and all before it frozen, the last one is trained.
LAST_FROZEN = {"efficientnet_lite0": "stage6", "resnet18": "layer3"}


class Settings(NamedTuple):
    """How a network wants its images; the mean and std are those of its record."""

    resize: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def weights(folder: Path) -> Path:
    """Write ResNet-18's drawn weights into `folder` and enter their hash; return the folder."""
    record = BACKBONES[DRAWN]
    path = folder / f"{DRAWN}.pth"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(untrained(record, 1000, 0).state_dict(), path)
    BACKBONES[DRAWN] = record._replace(weights_fingerprint=file_hash(path))
    return folder


def backbone(name: str, folder: Path) -> Backbone:
    """Return a measured network without its classifier."""
    return prepared(name, weights(folder))


def settings(name: str) -> Settings:
    """Return how a network wants its images."""
    record = BACKBONES[name]
    return Settings(record.resize, record.input_size, record.mean, record.std)


def with_head(name: str, folder: Path, num_classes: int) -> nn.Module:
    """Return a network with a new head on a copy of the backbone, as the plain loop trains it."""
    found = backbone(name, folder)
    head = nn.Linear(found.record.num_features, num_classes)
    return nn.Sequential(deepcopy(found.module), head)
