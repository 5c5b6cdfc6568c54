"""Instance weighting: a head, or head and tail, from target images and source images like them.

The sum of w_i * loss over both domains, w_i = 1 for target images. May import torch, the contract
and the engine's own modules.
"""

import time

import torch
from torch import Tensor

from regraft.contract.strategies import InstanceWeighting, PartialFinetune
from worker.engine.adapted import Adapted
from worker.engine.context import Context
from worker.engine.domain.density_ratio import density_ratio
from worker.engine.domain.kernel_mean_matching import kernel_mean_matching
from worker.engine.domain.tradaboost import boosted
from worker.engine.head import basis_of
from worker.engine.solver import Problems, solve
from worker.engine.strategies.base import Fitted, Source, Task
from worker.engine.strategies.fine_tuning import Variant, fine_tuned
from worker.engine.strategies.joined import require_shared, required_source, shared_part
from worker.engine.strategies.linear_probe import (
    DEFAULT_PENALTY,
    Material,
    material_of,
    solve_head,
)
from worker.engine.training.aligned import Aligned, NoTerm
from worker.engine.training.optimiser import decay
from worker.engine.training.recipe import recipe_of
from worker.engine.training.shown import Others

_BOOSTED_ITERATIONS = 50  # of the solver, in each round
_BOOSTED_TOLERANCE = 1e-3


def instance_weighting(task: Task, options: InstanceWeighting, context: Context) -> Fitted:
    """Return the frozen backbone with the head that `solve_head` finds on weighted images.

    Source images of classes that the target does not have count nothing. The L2 is chosen by
    target images alone: source images are trained on in every fold and scored in none. Where the
    tail is asked for it is trained with the head, on the weights that frozen features give.

    Raises:
        EngineError: LABEL_SPACES_DISJOINT where no class is shared, or see `fine_tuned`.
    """
    source = required_source(task, options.type)
    require_shared(source, task.names, options.type)
    shared = shared_part(source, task.names)
    started = time.perf_counter()
    features = task.features.of(shared.images)
    material = weighted(material_of(task), features, shared.labels, options, context)
    seconds = time.perf_counter() - started
    _report(material, len(task.labels), seconds, context)
    left_out = len(source.images) - len(shared.images)
    text = f"{len(shared.images)} source images were weighted by {options.weighting}"
    text += f", and {left_out} of other classes left out. " if left_out else ". "
    if options.trains == "tail":
        fitted = _with_tail(task, shared, material, options, context)
        return fitted._replace(explanation=text + fitted.explanation)
    solved = solve_head(material, task.wanted, context)
    shown = {"weighting": options.weighting}
    candidates = [
        one.model_copy(
            update={"strategy": options.type, "hyperparameters": one.hyperparameters | shown}
        )
        for one in solved.candidates
    ]
    model = Adapted(
        task.backbone, solved.head, task.features, is_frozen=True, left_out=solved.left_out
    )
    return Fitted(model, candidates, text + solved.explanation)


def _with_tail(
    task: Task, shared: Source, material: Material, options: InstanceWeighting, context: Context
) -> Fitted:
    """Train the last stages and the head on images of both domains, the source's weighted.

    A batch has as many images of the one as of the other, so the weights are taken to a mean of
    what all source images count together as a share of what all target images do.
    """
    if material.weights is None:
        raise ValueError("material without weights")
    weights = material.weights[-1, len(task.labels) :] * len(shared.labels) / len(task.labels)
    everything = torch.ones(task.num_classes).bool()
    recipe = recipe_of(task.wanted, PartialFinetune(), task.backbone.record, task.seed)
    variant = Variant(
        pulls=lambda network: decay(network, recipe.decay),
        shown={"weighting": options.weighting, "source_images": len(shared.images)},
        objective=Aligned(NoTerm(), task.backbone.record.num_features, 0, 1.0),
        others=Others(shared.images, shared.labels, 0, (), everything, weights),
    )
    fitted = fine_tuned(task, PartialFinetune(), variant, context)
    candidates = [one.model_copy(update={"strategy": options.type}) for one in fitted.candidates]
    return fitted._replace(candidates=candidates)


def weighted(
    target: Material,
    features: Tensor,
    labels: Tensor,
    options: InstanceWeighting,
    context: Context,
) -> Material:
    """Return the target's images and source images [m, d] of class numbers [m], with weights."""
    count = len(target.labels)
    joined = Material(
        features=torch.cat([target.features, features]),
        labels=torch.cat([target.labels, labels]),
        folds=torch.cat([target.folds, torch.full_like(labels, -1)]),
        num_classes=target.num_classes,
    )
    points = basis_of(joined.features).coordinates(joined.features)
    found = _domain_weights(points[count:], points[:count], options)
    found *= options.source_weight * count / found.sum()
    row = torch.cat([torch.ones(count, dtype=found.dtype), found])
    num_rows = int(joined.folds.max()) + 2  # one for each fold, and one for none
    joined = joined._replace(weights=row.expand(num_rows, -1))
    if options.weighting != "tradaboost":
        return joined
    return joined._replace(weights=_boosted(joined, points, count, options.rounds, context))


def _domain_weights(source: Tensor, target: Tensor, options: InstanceWeighting) -> Tensor:
    """Return the weights [m] of source points from where both domains lie; no label matters."""
    if options.weighting == "kmm":
        return kernel_mean_matching(source, target, options.max_weight)
    if options.weighting == "density_ratio":
        ratio = density_ratio(source, target)
        return (ratio / ratio.mean()).clamp_max(options.max_weight)
    return source.new_ones(len(source))


def _boosted(
    material: Material, points: Tensor, count: int, num_rounds: int, context: Context
) -> Tensor:
    """Return TrAdaBoost's weights [k + 1, n], those of a fold without a look at its images."""
    folds = (*range(int(material.folds.max()) + 1), -1)
    start = torch.stack([material.without(number) for number in folds]).float()
    penalties = torch.full((len(folds),), DEFAULT_PENALTY)
    points = points.float()

    def learn(weights: Tensor) -> Tensor:
        context.check()
        problems = Problems(points, material.labels, weights, penalties, material.num_classes)
        return solve(problems, _BOOSTED_ITERATIONS, _BOOSTED_TOLERANCE).logits.argmax(dim=2)

    is_source = torch.arange(len(points)) >= count
    return boosted(
        start,
        material.labels,
        is_source,
        learn,
        num_classes=material.num_classes,
        num_rounds=num_rounds,
    )


def _report(material: Material, count: int, seconds: float, context: Context) -> None:
    """Tell how many source images count, as Kish's effective number of them."""
    if material.weights is None:
        return
    found = material.weights[-1, count:].double()
    effective = float(found.sum() ** 2 / found.square().sum().clamp_min(1e-12))
    message = f"The weights of {len(found)} source images are worth {effective:.0f} equal ones."
    context.event(message, effective=round(effective, 1), seconds=round(seconds, 3))
