"""fastai's Learner: one epoch of head training at a time; prints one JSON line."""

from collections.abc import Iterator
from typing import Any

import fastai.callback.progress  # noqa: F401 - gives Learner its `no_bar`
import torch
from fastai.data.transforms import Normalize
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.torch_core import params
from fastai.vision.augment import CropPad, Resize
from fastai.vision.data import ImageDataLoaders
from torch import nn

from benchmarks.speed import networks
from benchmarks.speed.case import Options, main
from benchmarks.speed.images import NUM_CLASSES

_BATCH = 32


def _groups(network: nn.Module) -> list[Any]:
    children: Any = network
    return [params(children[0]), params(children[1])]


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield an epoch with its evaluation; the backbone is frozen as `Learner.freeze` does it."""
    torch.set_num_threads(options.threads)
    wanted = networks.settings(options.backbone)
    loaders = ImageDataLoaders.from_folder(
        options.photos,
        valid_pct=0.2,
        seed=0,
        bs=_BATCH,
        num_workers=2,
        item_tfms=[Resize(wanted.resize), CropPad(wanted.size)],
        batch_tfms=[Normalize.from_stats(wanted.mean, wanted.std)],
    )
    network = networks.with_head(options.backbone, options.weights, NUM_CLASSES)
    learner = Learner(loaders, network, loss_func=CrossEntropyLossFlat(), splitter=_groups)
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        for _ in range(options.repeats):
            with options.timed() as done:
                learner.fit(1)
            yield done


if __name__ == "__main__":
    main(measure)
