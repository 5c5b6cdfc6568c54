"""Training the backbone, or its last stages, with a head: four strategies of one procedure.

They differ in where the head starts, what is frozen, and what the weights are pulled to.
May import torch, the contract and the engine's own modules.
"""

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from regraft.contract.intervals import wilson
from regraft.contract.metrics import Candidate
from regraft.contract.strategies import FineTuning, FullFinetune, L2Sp, LpFt, PartialFinetune
from worker.engine.adapted import Adapted, LeftOut
from worker.engine.context import Context, Silent
from worker.engine.device import device
from worker.engine.head import Head, fit_temperature
from worker.engine.strategies.base import Fitted, Task
from worker.engine.strategies.linear_probe import material_of, solve_head
from worker.engine.training.examples import Pixels, cheapest
from worker.engine.training.loop import Held, Loop, Plan, judged
from worker.engine.training.network import Network
from worker.engine.training.objective import CrossEntropy
from worker.engine.training.optimiser import Pull, decay, optimiser, starting_point
from worker.engine.training.recipe import Recipe, recipe_of
from worker.engine.training.shown import Labelled, OneDomain, Others, Shown, TwoDomains
from worker.engine.training.state import TrainingState
from worker.engine.tuned import TunedFeatures

Settings = dict[str, float | int | str]

# The user's number of epochs and decay are of the fine-tuning; the head is solved as always.
_SOLVED = {"epochs": "auto", "weight_decay": "auto"}


class Variant(NamedTuple):
    """What tells one strategy from another, and `shown`, what its candidate says of that.

    `pulls` makes the L2 terms of a network that stands where training starts; the head starts
    at zero unless one is given; `objective` maps network and batch to a loss. `others` are the
    images of another domain, and those without labels, that are trained on beside the task's.
    """

    pulls: Callable[[Network], Sequence[Pull]]
    shown: Settings
    head: Head | None = None
    objective: nn.Module = CrossEntropy()
    others: Others | None = None


def partial_finetune(task: Task, options: PartialFinetune, context: Context) -> Fitted:
    """Train the head and the last stages."""
    return fine_tuned(task, options, _plain(task, options), context)


def full_finetune(task: Task, options: FullFinetune, context: Context) -> Fitted:
    """Train everything, the backbone at a lower rate."""
    return fine_tuned(task, options, _plain(task, options), context)


def lp_ft(task: Task, options: LpFt, context: Context) -> Fitted:
    """Solve the head on frozen features, then train everything from there (Kumar et al. 2022)."""
    solved = solve_head(material_of(task), task.wanted.model_copy(update=_SOLVED), Silent(context))
    return fine_tuned(task, options, _plain(task, options)._replace(head=solved.head), context)


def l2_sp(task: Task, options: L2Sp, context: Context) -> Fitted:
    """Train everything, pulled to where it started (Li et al. 2018)."""
    variant = Variant(
        pulls=lambda network: starting_point(network, options.alpha, options.beta),
        shown={"alpha": options.alpha, "beta": options.beta},
    )
    return fine_tuned(task, options, variant, context)


def _plain(task: Task, options: FineTuning) -> Variant:
    """Return fine-tuning with weight decay."""
    strength = recipe_of(task.wanted, options, task.backbone.record, task.seed).decay
    return Variant(lambda network: decay(network, strength), {"weight_decay": strength})


def fine_tuned(task: Task, options: FineTuning, variant: Variant, context: Context) -> Fitted:
    """Train a copy of the backbone with a head, or go on from the run's checkpoint.

    Raises:
        EngineError: DIVERGED or OUT_OF_MEMORY, see `Loop.run`.
    """
    recipe = recipe_of(task.wanted, options, task.backbone.record, task.seed)
    network = Network(task.backbone, task.num_classes, variant.head)
    network.train_from(recipe.cut)
    shown, held = _examples(task, recipe, network, variant.others, context)
    network.to(device())
    objective = copy.deepcopy(variant.objective).to(device())
    chosen = optimiser(network, objective, recipe.rate, recipe.backbone_factor)
    state = TrainingState(network, objective, chosen, max(len(one) for one in shown.epoch(0)))
    plan = Plan(shown, held, variant.pulls(network), recipe)
    saved = task.checkpoints.restored()
    if saved is not None:
        state.restore(saved)
    Loop(state, plan, task.checkpoints, context).run()
    return _fitted(state, plan, options.type, variant.shown, context)


def _examples(
    task: Task, recipe: Recipe, network: Network, others: Others | None, context: Context
) -> tuple[Shown, Held | None]:
    """Decode the images once, and hold a fold of them back where early stopping asks for it."""
    held_back = task.folds == 0 if recipe.patience else torch.zeros_like(task.folds).bool()
    if recipe.patience and not bool(held_back.any()):
        context.event("No early stopping: too few images to hold any back.", "warn")
    kept = task.where(~held_back)
    images = [*kept.images, *(others.images if others else ())]
    pixels = Pixels(images, task.backbone.record, task.workspace, context)
    if recipe.augmentation == "none" and not recipe.gradual:
        inputs = cheapest(pixels, len(images), network, context)
    else:
        pixels.augment(recipe.augmentation)
        inputs = pixels
    own = Labelled(inputs, kept.labels)
    shown: Shown = OneDomain(own, task.num_classes, recipe)
    if others is not None:
        shown = TwoDomains(own, task.num_classes, others, recipe)
    if not recipe.patience or not bool(held_back.any()):
        return shown, None
    judges = task.where(held_back)
    pixels = Pixels(judges.images, task.backbone.record, task.workspace, context)
    return shown, Held(Labelled(pixels, judges.labels), recipe.patience)


def _fitted(
    state: TrainingState,
    plan: Plan,
    name: str,
    shown: dict[str, float | int | str],
    context: Context,
) -> Fitted:
    """Return the trained network as a model, with what is known of it."""
    backbone, head = state.network.adapted()
    score = interval = left_out = None
    reason = "as asked for; no images were held back to score it"
    if plan.held is not None and state.best.weights is not None:
        labels = plan.held.labelled.labels
        left_out = LeftOut(judged(state, plan.held.labelled), labels)
        head = head._replace(temperature=fit_temperature(*left_out))
        score, interval = state.best.right / len(labels), wilson(state.best.right, len(labels))
        reason = f"the best of its epochs, number {state.best.epoch + 1}, on images held back"
    candidate = Candidate(
        strategy=name,
        hyperparameters=plan.recipe.shown() | shown,
        score=score,
        score_interval=interval,
        chosen=True,
        reason=reason,
    )
    features = TunedFeatures(backbone, context)
    model = Adapted(backbone, head, features, is_frozen=False, left_out=left_out)
    return Fitted(model, [candidate], _explained(name, state))


def _explained(name: str, state: TrainingState) -> str:
    trained = [piece.name for piece in state.network.pieces[state.network.cut :]]
    what = "the whole backbone" if state.network.cut == 0 else f"the stages {', '.join(trained)}"
    return f"The head and {what} were trained by {name} in {state.step} steps."
