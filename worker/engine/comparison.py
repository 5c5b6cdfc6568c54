"""What adapting gained over the simple ways, on the same held-out images.

May import torch, the contract and the engine's own modules.
"""

from typing import NamedTuple

from torch import Tensor

from regraft.contract.metrics import JobMetrics, Metrics, Transfer
from regraft.contract.strategies import LinearProbe
from worker.engine import evaluate, scratch
from worker.engine.adapted import Adapted
from worker.engine.backbone import Backbone
from worker.engine.calibrate import quality
from worker.engine.context import Context, Silent
from worker.engine.explain import explanation, verdict_of
from worker.engine.guard import Contest, Guarded, Held, guarded, unguarded
from worker.engine.inputs import Inputs
from worker.engine.runspec import RunSpec
from worker.engine.strategies import Fitted, Task
from worker.engine.strategies.linear_probe import frozen_head


class Comparison(NamedTuple):
    """A network from scratch, its logits on the held-out images, and the budget it was given."""

    trained: scratch.FromScratch
    logits: Tensor
    budget: float


def compare_with_scratch(
    spec: RunSpec, backbone: Backbone, given: Inputs, seconds: float, context: Context
) -> Comparison | None:
    """Train from scratch for as many seconds, if asked to and if there are held-out images."""
    if "from_scratch" not in spec.spec.comparisons:
        return None
    held_out = given.parts.validation
    if not held_out or context.should_stop():
        context.event("No comparison with training from scratch: stopped, or nothing held out.")
        return None
    train = given.parts.train
    examples = scratch.Examples(train, given.truth(train).tolist(), len(given.labels))
    trained = scratch.train(
        backbone.record, examples, scratch.Budget(seconds), spec.spec.seed, context
    )
    logits = scratch.logits(trained, held_out, context)
    if not bool(logits.isfinite().all()):
        context.event("Training from scratch diverged: there is nothing to compare with.", "warn")
        return None
    return Comparison(trained, logits, seconds)


def baseline_of(task: Task, strategy: str, fitted: Fitted, context: Context) -> Fitted:
    """Return the frozen backbone with a linear head: what the run started from, without a source.

    A linear probe is its own baseline, unless a source changed its backbone.
    """
    if strategy == LinearProbe().type and task.source is None:
        return fitted
    return frozen_head(task, Silent(context))


def delivery_of(
    spec: RunSpec, task: Task, contest: Contest, given: Inputs, context: Context
) -> Guarded:
    """Return what is delivered: the model as asked for, unless the guard keeps it back."""
    if contest.baseline.model is contest.fitted.model:
        return unguarded(contest, "The frozen backbone with a linear head is the baseline itself.")
    if spec.spec.guard == "off":
        return unguarded(contest, "The guard is off: delivered as asked for.")
    held_out = given.parts.validation
    return guarded(task, contest, Held(held_out, given.truth(held_out)), context)


def transfer_of(
    given: Inputs,
    contest: Contest,
    guarded: Guarded,
    metrics: JobMetrics,
    comparison: Comparison | None,
) -> Transfer:
    """Say what adapting gained over the frozen head, and over training from scratch."""
    from_scratch = gain = baseline_gain = None
    baseline, held_out = contest.baseline.model, given.parts.validation
    truth, adapted = given.truth(held_out), guarded.model.logits(held_out)
    if held_out and guarded.model is not baseline:
        baseline_gain = evaluate.gain(truth, adapted, baseline.logits(held_out))
    if comparison is not None:
        from_scratch = evaluate.metrics(given.labels, truth, comparison.logits)
        gain = evaluate.gain(truth, adapted, comparison.logits)
    transfer = Transfer(
        baseline=_quality(given, baseline),
        from_scratch=from_scratch,
        gain=gain,
        baseline_gain=baseline_gain,
        candidates=guarded.candidates,
        guard=guarded.decision,
    )
    verdict = verdict_of(guarded.strategy, transfer)
    choice = contest.fitted.explanation
    text = f"{verdict} {explanation(given.parts, len(given.labels), choice, metrics, transfer)}"
    if comparison is not None:
        text += (
            f" Adapting took {comparison.budget:.1f} s of computing; training from scratch "
            f"was given as much and took {comparison.trained.seconds:.1f} s "
            f"({comparison.trained.epochs:.1f} passes over the images, one at least)."
        )
    return transfer.model_copy(update={"explanation": text})


def _quality(given: Inputs, model: Adapted) -> Metrics | None:
    return quality(model, given, "validation")
