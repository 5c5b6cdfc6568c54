"""Features of a fine-tuned backbone: they belong to one model, so no cache holds them.

May import torch and the engine's own modules.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.engine import preprocess
from worker.engine.backbone import Backbone
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.failures import is_out_of_memory
from worker.engine.features import DEFAULT_BATCH
from worker.engine.runtimes import Runtime, torch_runtime


class TunedFeatures:
    """Computes what it is asked for, and remembers it in memory."""

    def __init__(self, backbone: Backbone, context: Context) -> None:
        self._backbone = backbone
        self._runtime = torch_runtime(backbone)
        self._context = context
        self._rows: dict[str, Tensor] = {}

    def of(self, images: Sequence[Image]) -> Tensor:
        """Return float32 features [n, d] of n readable images, in their order."""
        missing = [image for image in images if image.sha256 not in self._rows]
        settings = preprocess.settings_of(self._backbone.record)
        for batch in preprocess.batches(missing, settings, DEFAULT_BATCH):
            self._context.check()
            rows = _forward(self._runtime, batch.pixels)
            self._rows.update(zip((one.sha256 for one in batch.images), rows, strict=True))
        found = [self._rows[image.sha256] for image in images]
        return torch.stack(found) if found else torch.zeros(0, self._backbone.record.num_features)


def _forward(runtime: Runtime, pixels: Tensor) -> Tensor:
    """Return features [n, d], one image at a time where memory does not suffice for all."""
    try:
        return runtime.features(pixels)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or len(pixels) == 1:
            raise
    return torch.cat([runtime.features(one) for one in torch.split(pixels, 1)])
