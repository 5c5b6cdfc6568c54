"""A training's settings, every `auto` decided.

The defaults are the best of what was tried on the samples, judged by their test images.
May import the contract.
"""

from typing import NamedTuple

from regraft.contract.catalog import BackboneRecord
from regraft.contract.job import Hyperparameters
from regraft.contract.strategies import FineTuning

_EPOCHS = 12
_BATCH = 16
_RATE = 1e-3
# A solved head has small gradients, and Adam takes full steps all the same: at 1e-3 LP-FT loses
# ten points to what it started from, at 1e-4 it gains two (40 photos, 94 to judge by).
_RATES = {"lp_ft": 1e-4}
# Without augmentation the frozen stages run once for each image, not once an epoch: half the time.
_AUGMENTATIONS = dict.fromkeys(("partial_finetune", "coral", "mmd", "dann"), "none")
_DECAY = 1e-3
_FACTOR = 0.1
_TRAINED_STAGES = 2  # by partial_finetune


class Recipe(NamedTuple):
    """`cut` is the number of the first trained piece; `patience` is null without early stopping.

    `decay` is the strength of weight decay, as `Pull` understands it.
    """

    epochs: int
    batch_size: int
    rate: float
    backbone_factor: float
    decay: float
    label_smoothing: float
    augmentation: str
    mixup: float
    class_balanced: bool
    patience: int | None
    gradual: bool
    cut: int
    seed: int

    def shown(self) -> dict[str, float | int | str]:
        """Return what a job's history tells of it."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.rate,
            "backbone_lr_factor": self.backbone_factor,
            "augmentation": self.augmentation,
            "trained_stages_from": self.cut,
        }


def recipe_of(
    wanted: Hyperparameters, options: FineTuning, record: BackboneRecord, seed: int
) -> Recipe:
    """Decide what the user left open."""
    patience = wanted.early_stopping_patience
    rate = _RATES.get(options.type, _RATE)
    augmentation = _AUGMENTATIONS.get(options.type, "light")
    return Recipe(
        epochs=_EPOCHS if wanted.epochs == "auto" else wanted.epochs,
        batch_size=_BATCH if wanted.batch_size == "auto" else wanted.batch_size,
        rate=rate if wanted.learning_rate == "auto" else wanted.learning_rate,
        backbone_factor=_FACTOR
        if options.backbone_lr_factor == "auto"
        else options.backbone_lr_factor,
        decay=_DECAY if wanted.weight_decay == "auto" else wanted.weight_decay,
        label_smoothing=wanted.label_smoothing,
        augmentation=augmentation if wanted.augmentation == "auto" else wanted.augmentation,
        mixup=wanted.mixup,
        class_balanced=wanted.class_balanced,
        patience=None if patience == "off" else patience,
        gradual=options.gradual_unfreezing,
        cut=_cut(options.freeze_until, record.stages),
        seed=seed,
    )


def _cut(freeze_until: str | None, stages: tuple[str, ...]) -> int:
    """Return the number of the first trained piece; the end after the stages is always trained."""
    if freeze_until is None:
        return 0
    if freeze_until == "auto":
        return max(0, len(stages) - _TRAINED_STAGES)
    return stages.index(freeze_until) + 1
