"""The training loop: epochs of batches, each one step; judged, checkpointed, interruptible.

May import torch and the engine's own modules.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from regraft.contract.errors import ErrorCode
from worker.engine.checkpoints import Checkpoints
from worker.engine.context import Context, RunPausedError
from worker.engine.device import precision
from worker.engine.failures import EngineError, is_out_of_memory
from worker.engine.training import objective as objectives
from worker.engine.training.chance import seeded
from worker.engine.training.objective import Batch
from worker.engine.training.optimiser import MAX_NORM, Pull, apply_pulls, set_rate
from worker.engine.training.recipe import Recipe
from worker.engine.training.schedule import rate_factor
from worker.engine.training.shown import Labelled, Shown
from worker.engine.training.state import TrainingState

_JUDGED_AT_ONCE = 32
_MAX_POINTS = 200  # of a reported series


class Held(NamedTuple):
    """Training images that early stopping holds back, to judge each epoch by."""

    labelled: Labelled
    patience: int


class Plan(NamedTuple):
    """What a training is made of: images shown and held back, L2 terms, and settings."""

    shown: Shown
    held: Held | None
    pulls: Sequence[Pull]
    recipe: Recipe


class Loop:
    """One training. Its parts come from outside, everything that changes lies in `state`."""

    def __init__(
        self,
        state: TrainingState,
        plan: Plan,
        checkpoints: Checkpoints,
        context: Context,
    ) -> None:
        self.state = state
        self.shown, self.held, self.pulls, self.recipe = plan
        self.checkpoints = checkpoints
        self.context = context
        self.where = state.network.head.weight.device
        self.epoch_length = len(self.shown.epoch(0))
        self.num_steps = self.epoch_length * self.recipe.epochs
        self._is_sound = torch.ones((), dtype=torch.bool, device=self.where)

    def run(self) -> None:
        """Train to the end, from wherever `state` stands; leave the best weights in the network.

        Raises:
            EngineError: DIVERGED with the step, or OUT_OF_MEMORY with one image at a time.
            RunCancelledError, RunPausedError: as wished; a pause leaves a checkpoint.
        """
        state = self.state
        while state.step < self.num_steps and not state.is_trained:
            epoch, place = divmod(state.step, self.epoch_length)
            self._unfreeze(epoch)
            for numbers in self.shown.epoch(epoch)[place:]:
                if self._is_to_stop():
                    self._finish()
                    return
                self._step(numbers)
            self._judge(epoch)
            if self._has_peaked(epoch):
                break
            self._checkpoint(epoch_ended=True)
        if not state.is_trained:
            self._finish()

    def _unfreeze(self, epoch: int) -> None:
        """Freeze what is to stay; gradual unfreezing adds a stage with each epoch, from the top."""
        network = self.state.network
        cut = self.recipe.cut
        if self.recipe.gradual:
            cut = max(cut, len(network.pieces) - epoch)
        network.train_from(cut)

    def _is_to_stop(self) -> bool:
        """Heed wishes between two steps; the first step is always taken."""
        self.context.check_cancelled()
        if self.context.should_pause():
            self._write()
            raise RunPausedError
        self._checkpoint(epoch_ended=False)
        return self.state.step > 0 and self.context.should_stop()

    def _step(self, numbers: Tensor) -> None:
        """Take one step on one batch, in as many passes as memory asks for."""
        state, recipe = self.state, self.recipe
        set_rate(state.optimiser, rate_factor(state.step, self.num_steps))
        loss = None
        while loss is None:
            with seeded(recipe.seed, "step", state.step):
                batch = self._batch(numbers)
                try:
                    loss = self._gradients(batch)
                except (RuntimeError, MemoryError) as error:
                    self._shrink(error, len(numbers))
        parameters = [one for group in state.optimiser.param_groups for one in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, MAX_NORM)
        self._is_sound = self._is_sound & torch.isfinite(norm) & torch.isfinite(loss)
        state.optimiser.step()
        apply_pulls(self.pulls, state.optimiser)
        self._report(loss)
        state.step += 1

    def _require_sound(self) -> None:
        """Raise where a loss was no number; nothing is kept or judged before this is known.

        Asked for now and then, not at each step: a GPU would be waited for every time.
        """
        if not bool(self._is_sound):
            message = f"Training diverged: the loss is no finite number at step {self.state.step}."
            raise EngineError(ErrorCode.DIVERGED, message, "hyperparameters.learning_rate")

    def _batch(self, numbers: Tensor) -> Batch:
        inputs = self.shown.inputs.draw(numbers).to(self.where, non_blocking=True)
        targets = self.shown.targets(numbers).to(self.where)
        sides = self.shown.sides(numbers).to(self.where)
        inputs, targets = objectives.mixed(inputs, targets, sides, self.recipe.mixup)
        progress = self.state.step / self.num_steps
        return Batch(inputs, self.shown.inputs.entry, targets, sides, progress)

    def _gradients(self, batch: Batch) -> Tensor:
        """Accumulate the gradients of a batch's loss over passes; return the loss."""
        state = self.state
        state.optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.where)
        for start in range(0, len(batch.inputs), state.micro_batch):
            piece = batch.part(slice(start, start + state.micro_batch))
            with precision(self.where):
                loss = state.objective(state.network, piece)
            share = loss * (len(piece.inputs) / len(batch.inputs))
            torch.autograd.backward(share)
            total += share.detach()
        return total

    def _shrink(self, error: Exception, size: int) -> None:
        """Halve what passes at once after running out of memory; raise what cannot be helped."""
        state = self.state
        tried = min(size, state.micro_batch)
        if not is_out_of_memory(error) or tried == 1:
            raise error
        state.optimiser.zero_grad(set_to_none=True)
        state.micro_batch = tried // 2
        message = f"Out of memory with {tried} images at once; going on with {state.micro_batch}."
        self.context.event(message, "warn", micro_batch=state.micro_batch)

    def _report(self, loss: Tensor) -> None:
        step = self.state.step
        share = (step + 1) / self.num_steps
        self.context.progress("training", 0.60 + 0.12 * share, step + 1, self.num_steps)
        if step % max(1, self.num_steps // _MAX_POINTS) == 0:
            rate = max(group["lr"] for group in self.state.optimiser.param_groups)
            self._require_sound()
            self.context.metrics(step, train_loss=float(loss), learning_rate=rate)

    def _judge(self, epoch: int) -> None:
        """Score the held-back images, and keep the network if it is the best so far."""
        if self.held is None:
            return
        self._require_sound()
        labels = self.held.labelled.labels
        found = judged(self.state, self.held.labelled)
        right = int((found.argmax(dim=1) == labels).sum())
        log_loss = float(nn.functional.cross_entropy(found, labels))
        self.state.best.offer(self.state.network, right, log_loss, epoch)
        self.context.metrics(
            self.state.step, inner_accuracy=right / len(labels), inner_log_loss=log_loss
        )

    def _has_peaked(self, epoch: int) -> bool:
        return self.held is not None and epoch - self.state.best.epoch >= self.held.patience

    def _finish(self) -> None:
        """Put the best weights in place, and mark them as trained in a last checkpoint."""
        best = self.state.best.weights
        if best is not None:
            self.state.network.load_state_dict(best, strict=True)
        self.state.is_trained = True
        self._write()

    def _checkpoint(self, *, epoch_ended: bool) -> None:
        if self.checkpoints.due(epoch_ended=epoch_ended):
            self._write()

    def _write(self) -> None:
        self._require_sound()
        state = self.state
        epoch = state.step // self.epoch_length
        # The mark of the end comes after a checkpoint of the last step, not in its place.
        self.checkpoints.write(state.saved(), state.step + state.is_trained, epoch)


def judged(state: TrainingState, labelled: Labelled) -> Tensor:
    """Return the network's logits [n, c] of all of `labelled`, in evaluation mode."""
    network = state.network
    network.eval()
    where = network.head.weight.device
    rows = []
    with torch.no_grad(), precision(where):
        for numbers in torch.split(torch.arange(len(labelled.labels)), _JUDGED_AT_ONCE):
            inputs = labelled.inputs.draw(numbers).to(where)
            rows.append(network(inputs, labelled.inputs.entry).float().cpu())
    return torch.cat(rows)
