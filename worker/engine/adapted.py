"""A backbone, frozen or fine-tuned, with a head: what evaluation, comparison and export work with.

May import torch, the contract and the engine's own modules.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from regraft.contract.metrics import Calibration
from worker.engine.backbone import Backbone
from worker.engine.data import Image
from worker.engine.head import Head


class FeatureSource(Protocol):
    """Answers with float32 features [n, d] of n readable images, in their order."""

    def of(self, images: Sequence[Image]) -> Tensor:
        """Return the features of `images`."""


class LeftOut(NamedTuple):
    """Uncalibrated logits [n, c] of n images that were left out of training, and their classes [n].

    Where images were left out in turn, a model trained on the others speaks for the final one.
    """

    logits: Tensor
    labels: Tensor


class Adapted(NamedTuple):
    """A model: `features` are those that `backbone` gives, and the head was trained on.

    `is_frozen` tells that the backbone is as it was given. Where that is the published one, its
    bytes are shared with other models; any other belongs to its merchant and is exported whole.
    `left_out` is null where the strategy trained on every image it was given, `calibration`
    until there is one (see `calibrate`).
    """

    backbone: Backbone
    head: Head
    features: FeatureSource
    is_frozen: bool
    left_out: LeftOut | None = None
    calibration: Calibration | None = None

    def logits(self, images: Sequence[Image]) -> Tensor:
        """Return uncalibrated logits [n, c] of n readable images."""
        return self.head.logits(self.features.of(images))
