"""Train the backbone on a source's labels first, with a head of the source's own.

For strategies that do not learn from the source themselves: what they adapt then are weights
that know the source domain. May import torch, the contract and the engine's own modules.
"""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from regraft.contract.job import Hyperparameters
from regraft.contract.status import Phase
from regraft.contract.strategies import FullFinetune
from worker.engine import backbone as backbones
from worker.engine.adapted import FeatureSource
from worker.engine.backbone import Backbone
from worker.engine.checkpoints import Checkpoints, Saved
from worker.engine.context import Context, Relay
from worker.engine.strategies.base import Source, Task
from worker.engine.strategies.fine_tuning import full_finetune

_START, _MIDDLE, _END = 0.60, 0.66, 0.72  # of the run: where training starts and ends
_SOURCE = "source."


class Start(NamedTuple):
    """What a strategy starts from, and whom it reports to."""

    task: Task
    context: Context


def trained_on_source(
    task: Task, features_of: Callable[[Backbone, Context], FeatureSource], context: Context
) -> Start:
    """Return the task on a backbone that was trained on its source, all of it and with one seed.

    `features_of` computes the target's features anew. The settings are those of `full_finetune`
    where a job leaves everything open: the job's own are about the target. Both trainings share
    the run's checkpoints, and a run goes on in the one that it was in.

    Raises:
        EngineError: see `full_finetune`.
    """
    source = task.source
    if source is None:
        return Start(task, context)
    saved = task.checkpoints.restored()
    if saved is not None and saved.note["stage"] == "target":
        backbone, num_steps = _with_weights(task.backbone, saved), int(saved.note["offset"])
    else:
        kept = _Stage(task.checkpoints, "source", saved)
        backbone = _trained(task, source, kept, context)
        num_steps, saved = kept.last_step + 1, None
    state = backbone.module.state_dict()
    weights = {f"{_SOURCE}{name}": value for name, value in state.items()}
    rest = Part(context, _MIDDLE, _END)
    adapted = task._replace(
        backbone=backbone,
        features=features_of(backbone, rest),
        checkpoints=_Stage(task.checkpoints, "target", saved, weights, num_steps),
        source=None,
    )
    return Start(adapted, rest)


def _trained(task: Task, source: Source, checkpoints: Checkpoints, context: Context) -> Backbone:
    count, classes = len(source.images), len(source.names)
    context.event(f"Training the backbone on the source first: {count} images, {classes} classes.")
    stage = task._replace(
        images=source.images,
        labels=source.labels,
        folds=torch.full_like(source.labels, -1),
        num_classes=classes,
        names=source.names,
        wanted=Hyperparameters(),
        checkpoints=checkpoints,
        source=None,
        unlabelled=(),
    )
    fitted = full_finetune(stage, FullFinetune(), Part(context, _START, _MIDDLE, "source_"))
    return backbones.own(task.backbone.record, fitted.model.backbone.module)


def _with_weights(backbone: Backbone, saved: Saved) -> Backbone:
    """Return the backbone with the source-trained weights that a checkpoint holds."""
    module = copy.deepcopy(backbone.module)
    held = saved.tensors.items()
    state = {name.removeprefix(_SOURCE): value for name, value in held if name.startswith(_SOURCE)}
    module.load_state_dict(state, strict=True)
    return backbones.own(backbone.record, module)


class _Stage:
    """One training's part of the run's checkpoints: marked, numbered after those before it.

    `weights` lie in every checkpoint beside the training's own tensors.
    """

    def __init__(
        self,
        run: Checkpoints,
        name: str,
        saved: Saved | None,
        weights: dict[str, Tensor] | None = None,
        offset: int = 0,
    ) -> None:
        self._run = run
        self._note: dict[str, Any] = {"stage": name, "offset": offset}
        self._saved = saved
        self._weights = weights or {}
        self._offset = offset
        self.last_step = 0 if saved is None else int(saved.note["step"]) + 1

    def restored(self) -> Saved | None:
        """Return what this training is to go on from; null where it starts anew."""
        return self._saved

    def due(self, *, epoch_ended: bool) -> bool:
        """Tell whether to write one now."""
        return self._run.due(epoch_ended=epoch_ended)

    def write(self, saved: Saved, step: int, epoch: int) -> None:
        """Keep a checkpoint."""
        self.last_step = step
        marked = Saved(saved.tensors | self._weights, saved.note | self._note)
        self._run.write(marked, step + self._offset, epoch)


class Part(Relay):
    """Reports one of several trainings of a run: its share of the progress, its own series."""

    def __init__(self, outer: Context, low: float, high: float, prefix: str = "") -> None:
        super().__init__(outer)
        self._low = low
        self._scale = (high - low) / (_END - _START)
        self._prefix = prefix

    def progress(
        self, phase: Phase, fraction: float, done: int | None = None, total: int | None = None
    ) -> None:
        """Pass on where the run is; what comes before a training counts as its start."""
        share = self._low + max(0.0, fraction - _START) * self._scale
        self._outer.progress(phase, share, done, total)

    def metrics(self, step: int, **values: float) -> None:
        """Pass on, under names of this part's own."""
        self._outer.metrics(step, **{f"{self._prefix}{name}": v for name, v in values.items()})
