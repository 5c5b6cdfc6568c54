"""How the model that a merchant uses today does on the held-out images of a new one.

It may have been trained on some of them, which flatters it. May import torch, safetensors, the
contract and the engine's own modules.
"""

from typing import NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor

from regraft.contract.metrics import Metrics
from worker.engine import backbone as backbones
from worker.engine import evaluate
from worker.engine.context import Context, Silent
from worker.engine.failures import EngineError
from worker.engine.finished import known
from worker.engine.inputs import Inputs, extractor
from worker.engine.runspec import BaseModelFile, RunSpec

_NEVER = 30.0  # below every other logit: a label that the model does not know


class _Answers(NamedTuple):
    """Logits [n, c] over the labels that the live model knows."""

    labels: list[str]
    logits: Tensor


def live_quality(spec: RunSpec, given: Inputs, context: Context) -> Metrics | None:
    """Return the live model's metrics; null where there is none, or nothing was held out.

    A live model that cannot be read any more is said in an event, and costs no job its result.
    """
    images = given.parts.validation
    if spec.live_model is None or not images:
        return None
    try:
        found = _answers(spec, spec.live_model, given, context)
    except (EngineError, SafetensorError, OSError, KeyError, ValueError) as error:
        context.event(f"The live model was not compared: {error}", "warn")
        return None
    extra = [label for label in found.labels if label not in given.labels]
    labels = [*given.labels, *extra]
    floor = found.logits.min(dim=1, keepdim=True).values - _NEVER
    logits = floor.expand(-1, len(labels)).clone()
    for place, label in enumerate(found.labels):
        logits[:, labels.index(label)] = found.logits[:, place]
    return evaluate.metrics(labels, given.truth(images), logits)


def _answers(spec: RunSpec, live: BaseModelFile, given: Inputs, context: Context) -> _Answers:
    backbone = backbones.of_model(live, spec.weights_dir)
    extract = extractor(spec, backbone, Silent(context)).extract
    features = extract(given.parts.validation).of(given.parts.validation)
    found = known(live)
    with torch.inference_mode():
        return _Answers(found.labels, found.head.logits(features))
