"""The whole model as a program of `torch.export`, saved without a pickle.

`torch.export.save` pickles the example inputs and nothing else of plain tensors: a program without
any is JSON and raw bytes in a stored zip. May import torch and the engine's own modules.
"""

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worker.engine.backbone import Backbone
from worker.engine.head import Head

FILE_NAME = "model.pt2"
INPUT = "images"
_WEIGHTS = "archive/data/weights/"
_CONFIG = f"{_WEIGHTS}model_weights_config.json"


class _Whole(nn.Module):
    """From images [n, 3, s, s] to probabilities [n, c]; the backbone's parameters come first."""

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        # Saved is the storage of a tensor: each gets one of its own, in the order of its shape.
        self.backbone = copy.deepcopy(backbone.module).to(memory_format=torch.contiguous_format)
        self.head = nn.Linear(*head.weight.T.shape)
        self.head.weight.data = head.weight.clone(memory_format=torch.contiguous_format)
        self.head.bias.data = head.bias.clone(memory_format=torch.contiguous_format)
        self.requires_grad_(requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities [n, c]."""
        logits: Tensor = self.head(self.backbone(images))
        return logits.softmax(dim=1)


def saved(backbone: Backbone, head: Head) -> bytes:
    """Return the backbone with a calibrated head as a saved program, for batches of any size.

    The same bytes in every process: no source line and no path is in it.
    """
    size = backbone.record.input_size
    program: Any = torch.export.export(
        _Whole(backbone, head).eval(),
        (torch.zeros(2, 3, size, size),),
        dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
    )
    program.example_inputs = None  # or else they are pickled
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    content = io.BytesIO()
    torch.export.save(program, content)
    return content.getvalue()


def shared_length(content: bytes) -> int:
    """Return how many bytes a saved program begins with that its backbone alone decides."""
    with zipfile.ZipFile(io.BytesIO(content)) as opened:
        weights: dict[str, Any] = json.loads(opened.read(_CONFIG))["config"]
        own = {one["path_name"] for name, one in weights.items() if name.startswith("head.")}
        shared = {_WEIGHTS + one["path_name"] for one in weights.values()}
        shared -= {_WEIGHTS + name for name in own}
        return min(info.header_offset for info in opened.infolist() if info.filename not in shared)


def load(path: Path) -> nn.Module:
    """Return a saved program as a module from images [n, 3, s, s] to probabilities [n, c]."""
    program: Any = torch.export.load(path)
    module: nn.Module = program.module()
    return module
