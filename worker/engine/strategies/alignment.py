"""Domain adaptation: head and last stages trained on source and target, drawn together.

Three strategies of one procedure, which differ in the term that does the drawing. May import
torch, the contract and the engine's own modules.
"""

import torch
from torch import Tensor, nn

from regraft.contract.labels import LabelSpaces, label_spaces
from regraft.contract.strategies import Alignment, Coral, Dann, Mmd
from worker.engine.context import Context
from worker.engine.strategies.base import Fitted, Source, Task
from worker.engine.strategies.fine_tuning import Variant, fine_tuned
from worker.engine.strategies.joined import (
    require_shared,
    required_source,
    shared_part,
    target_numbers,
)
from worker.engine.training.aligned import Aligned, CoralTerm, DomainTerm, MmdTerm
from worker.engine.training.chance import seeded
from worker.engine.training.optimiser import decay
from worker.engine.training.recipe import recipe_of
from worker.engine.training.shown import Others

_MAX_STEPS = 400  # that the default number of epochs may take


def coral(task: Task, options: Coral, context: Context) -> Fitted:
    """Train with the distance of covariances (Deep CORAL, Sun & Saenko 2016)."""
    others = _by_class(task, required_source(task, options.type), context)
    return _aligned(task, options, CoralTerm(options.strength), others, context)


def mmd(task: Task, options: Mmd, context: Context) -> Fitted:
    """Train with the mean discrepancy under several kernels (DAN, Long et al. 2015)."""
    others = _by_class(task, required_source(task, options.type), context)
    return _aligned(task, options, MmdTerm(options.strength), others, context)


def dann(task: Task, options: Dann, context: Context) -> Fitted:
    """Train against a discriminator of the domains (Ganin et al. 2016).

    Raises:
        EngineError: LABEL_SPACES_DISJOINT where no class is shared.
    """
    source = required_source(task, options.type)
    require_shared(source, task.names, options.type)
    if label_spaces(source.names, task.names) is LabelSpaces.OVERLAPPING:
        context.event(
            "The source's classes are not the dataset's: aligning all of both is known to do harm "
            "(DANN, with a part of the source's classes as target). Compare with the baseline.",
            "warn",
        )
    with seeded(task.seed, "discriminator", 0):
        term = DomainTerm(task.backbone.record.num_features, options.strength)
    others = Others(
        source=source.images,
        labels=target_numbers(source, task.names),
        num_own=0,
        unlabelled=task.unlabelled,
        aligned=torch.ones(task.num_classes).bool(),
    )
    return _aligned(task, options, term, others, context)


def _by_class(task: Task, source: Source, context: Context) -> Others:
    """Return who is aligned by the label spaces, as decided for CORAL and MMD.

    The same labels: everything. Disjoint: everything, and the source has a head of its own.
    Overlapping: images of shared classes alone, so no unlabelled ones, whose class nobody knows.
    """
    relates = label_spaces(source.names, task.names)
    everything = torch.ones(task.num_classes).bool()
    if relates is LabelSpaces.DISJOINT:
        labels = source.labels + task.num_classes
        return Others(source.images, labels, len(source.names), task.unlabelled, everything)
    shared = shared_part(source, task.names)
    if relates is LabelSpaces.SAME:
        return Others(shared.images, shared.labels, 0, task.unlabelled, everything)
    context.event(
        f"The source's classes are not the dataset's: {len(shared.images)} of its "
        f"{len(source.images)} images are of shared classes, and only those are used.",
        "warn",
    )
    if task.unlabelled:
        context.event("Unlabelled images are not used: their classes may be unshared.", "warn")
    aligned = torch.zeros(task.num_classes).bool()
    aligned[shared.labels] = True
    return Others(shared.images, shared.labels, 0, (), aligned)


def _aligned(
    task: Task, options: Alignment, term: nn.Module, others: Others, context: Context
) -> Fitted:
    """Fine-tune with cross-entropy on both domains and a term between them."""
    recipe = recipe_of(task.wanted, options, task.backbone.record, task.seed)
    if task.wanted.epochs == "auto":
        largest = max(len(task.images), len(others.source), len(others.unlabelled))
        steps = -(-largest // recipe.batch_size)
        epochs = max(1, min(recipe.epochs, _MAX_STEPS // steps))
        task = task._replace(wanted=task.wanted.model_copy(update={"epochs": epochs}))
    width = task.backbone.record.num_features
    scale = _scale(task.features.of(others.source))
    variant = Variant(
        pulls=lambda network: decay(network, recipe.decay),
        shown={
            "strength": options.strength,
            "weight_decay": recipe.decay,
            "source_images": len(others.source),
            "unlabelled_images": len(others.unlabelled),
        },
        objective=Aligned(term, width, others.num_own, scale),
        others=others,
    )
    return fine_tuned(task, options, variant, context)


def _scale(features: Tensor) -> float:
    """Return the root mean square of frozen features [n, d], 1 where they are all zero."""
    size = float(features.square().mean().sqrt())
    return size if size > 0 else 1.0
