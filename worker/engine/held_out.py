"""What a model says of each image that it was not trained on, for `predictions.json`.

May import torch, the contract and the engine's own modules.
"""

from collections.abc import Sequence

from regraft.contract.held_out import HeldOut, Prediction
from worker.engine.adapted import Adapted
from worker.engine.data import Image
from worker.engine.inputs import Inputs

_DIGITS = 6


def predictions(model: Adapted, given: Inputs) -> HeldOut:
    """Return the model's answers on the held-out and the test images, ordered by hash."""
    parts = given.parts
    return HeldOut(
        validation=_answers(model, given.labels, parts.validation),
        test=_answers(model, given.labels, parts.test),
    )


def _answers(model: Adapted, labels: Sequence[str], images: Sequence[Image]) -> list[Prediction]:
    if not images:
        return []
    shipped = model.head.calibrated()
    chances = shipped.logits(model.features.of(images)).double().softmax(dim=1)
    sure, guessed = chances.max(dim=1)
    return [
        Prediction(
            image=image.name,
            sha256=image.sha256,
            label=image.label or "",
            predicted=labels[number],
            probability=round(chance, _DIGITS),
        )
        for image, number, chance in zip(images, guessed.tolist(), sure.tolist(), strict=True)
    ]
