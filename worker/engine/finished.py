"""A finished model as its files say: its labels, its head, what it was calibrated and tested on.

May import torch, safetensors, the contract and the engine's own modules.
"""

import json
from typing import NamedTuple

from safetensors import SafetensorError, safe_open

from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from regraft.contract.held_out import HeldOut
from regraft.contract.metrics import Calibration, JobMetrics, Shown
from worker.engine.failures import EngineError
from worker.engine.head import Head
from worker.engine.runspec import BaseModelFile, FinishedFiles


class Known(NamedTuple):
    """A finished model without its backbone; the temperature is folded into its head."""

    labels: list[str]
    head: Head


class Record(NamedTuple):
    """How a finished model was calibrated, and what it said of the images held out of training."""

    calibration: Calibration | None
    held_out: HeldOut


class _Quality(Shown):
    metrics: JobMetrics = JobMetrics()


def known(model: BaseModelFile) -> Known:
    """Return what a model's weights say.

    Raises:
        SafetensorError, OSError, KeyError, ValueError: the file is none of a model's.
    """
    name = BACKBONES[model.backbone].classifier
    with safe_open(model.weights, framework="pt") as opened:
        labels = json.loads(opened.metadata()["labels"])
        head = Head(opened.get_tensor(f"{name}.weight"), opened.get_tensor(f"{name}.bias"), None)
    return Known(labels, head)


def known_base(model: BaseModelFile) -> Known:
    """Return what the weights of a run's base model say.

    Raises:
        EngineError: VALIDATION_FAILED for a file that is none of a model's.
    """
    try:
        return known(model)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        message = f"{model.weights.name} is no finished model: {error}."
        raise EngineError(ErrorCode.VALIDATION_FAILED, message, "base.model") from error


def record(files: FinishedFiles) -> Record:
    """Return what the other files of a model say; nothing of those that were not kept."""
    quality, said = _Quality(), HeldOut()
    if files.metrics is not None:
        quality = _Quality.model_validate_json(files.metrics.read_bytes())
    if files.predictions is not None:
        said = HeldOut.model_validate_json(files.predictions.read_bytes())
    return Record(quality.metrics.calibration, said)
