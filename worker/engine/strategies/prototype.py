"""Prototypes: the nearest class mean of frozen features by cosine, written as a linear head.

May import torch and the contract.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from regraft.contract.errors import ErrorCode
from regraft.contract.intervals import wilson
from regraft.contract.metrics import Candidate
from regraft.contract.strategies import Prototype
from worker.engine.adapted import Adapted, LeftOut
from worker.engine.context import Context
from worker.engine.failures import EngineError
from worker.engine.head import Head, fit_temperature
from worker.engine.strategies.base import Fitted, Task
from worker.engine.strategies.linear_probe import Material, material_of

# Logits are about so many times the cosine: what a temperature near 1 calibrates.
_SHARPNESS = 16.0


def prototype(task: Task, options: Prototype, context: Context) -> Fitted:
    """Return the frozen backbone with the head of `prototype_head`; there are no options."""
    del options
    context.check()
    material = material_of(task)
    head = prototype_head(material)
    found = _out_of_fold(material)
    truth = material.labels[material.folds >= 0]
    score = interval = left_out = None
    if found is not None:
        right = int((found.argmax(dim=1) == truth).sum())
        score, interval = right / len(truth), wilson(right, len(truth))
        left_out = LeftOut(found, truth)
        head = head._replace(temperature=fit_temperature(*left_out))
        context.metrics(0, cv_accuracy=score)
    candidate = Candidate(
        strategy="prototype",
        hyperparameters={},
        score=score,
        score_interval=interval,
        chosen=True,
        reason="as asked for; there is nothing to choose",
    )
    model = Adapted(task.backbone, head, task.features, is_frozen=True, left_out=left_out)
    sentence = "Each class is the mean of its images' features; nothing was trained."
    return Fitted(model, [candidate], sentence)


def class_prototype(features: Tensor) -> Tensor:
    """Return the prototype [d] of one class from its features [n, d], n >= 1; its length is 1.

    The mean of the features, each of length 1 (Mensink et al. 2013; Snell et al. 2017). It
    depends on no other class, so a class can be added to a finished head.
    """
    return normalize(normalize(features, dim=1).mean(dim=0), dim=0)


def prototype_head(material: Material) -> Head:
    """Return the head whose largest logit is that of the prototype with the largest cosine.

    A row is `class_prototype`, all to one length; the image's own length multiplies all its
    logits alike, and changes no order among them.

    Raises:
        EngineError: DIVERGED where features are not finite.
    """
    features, labels = material.features, material.labels
    if not bool(features.isfinite().all()):
        raise EngineError(ErrorCode.DIVERGED, "Features to train on are not finite numbers.")
    classes = range(material.num_classes)
    rows = torch.stack([class_prototype(features[labels == number]) for number in classes])
    length = features.norm(dim=1).mean().clamp_min(torch.finfo(features.dtype).tiny)
    return Head(rows * (_SHARPNESS / length), torch.zeros(len(rows)), None)


def _out_of_fold(material: Material) -> Tensor | None:
    """Return logits [m, c] of the m images in folds, by prototypes of the other folds' images."""
    numbers = sorted(set(material.folds.tolist()) - {-1})
    if not numbers:
        return None
    logits = torch.zeros(len(material.labels), material.num_classes)
    for number in numbers:
        held = material.folds == number
        others = Material(
            material.features[~held],
            material.labels[~held],
            material.folds[~held],
            material.num_classes,
        )
        logits[held] = prototype_head(others).logits(material.features[held])
    return logits[material.folds >= 0]
