"""The network that is trained: a copy of a backbone, cut into pieces, and a linear head.

May import torch and the engine's own modules.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from worker.engine.backbone import Backbone
from worker.engine.head import Head
from worker.engine.stages import pieces_of


class Network(nn.Module):
    """`backbone` and `head`; what lies before the cut is frozen whole.

    The head starts at zero (as in Kolesnikov et al. 2020, BiT) unless one is given.
    """

    def __init__(self, backbone: Backbone, num_classes: int, head: Head | None = None) -> None:
        super().__init__()
        self.record = backbone.record
        self.backbone = copy.deepcopy(backbone.module)
        self.pieces = pieces_of(self.record, self.backbone)
        self.head = nn.Linear(self.record.num_features, num_classes)
        self.cut = 0
        with torch.no_grad():
            self.head.weight.copy_(head.weight if head else torch.zeros(()))
            self.head.bias.copy_(head.bias if head else torch.zeros(()))

    def train_from(self, cut: int) -> None:
        """Train the pieces from number `cut` on; freeze those before, batch-norm included.

        Statistics of batch-norm stay the source's in trained pieces too: few images estimate
        them badly (8 epochs of fine-tuning on 40 photos end at 77% with new ones, at 86% with
        the source's), and without them a batch may be split at will.
        """
        self.cut = cut
        frozen = self.pieces[:cut]

        def is_frozen(name: str) -> bool:
            return any(piece.has(name) for piece in frozen)

        self.train()
        for name, parameter in self.backbone.named_parameters():
            parameter.requires_grad = not is_frozen(name)
        for name, module in self.backbone.named_modules():
            if is_frozen(name) or isinstance(module, nn.BatchNorm2d):
                module.eval()

    def features(self, inputs: Tensor, entry: int = 0) -> Tensor:
        """Return features [n, d] of inputs to piece number `entry`: pixels for 0."""
        with torch.no_grad():
            inputs = self._run(inputs, entry, self.cut)
        return self._run(inputs, max(entry, self.cut), len(self.pieces))

    def _run(self, value: Tensor, start: int, end: int) -> Tensor:
        for piece in self.pieces[start:end]:
            value = piece.run(value)
        return value

    def at_cut(self, pixels: Tensor) -> Tensor:
        """Return what the frozen pieces make of pixels: the input of the first trained one."""
        with torch.no_grad():
            return self._run(pixels, 0, self.cut)

    def forward(self, inputs: Tensor, entry: int = 0) -> Tensor:
        """Return logits [n, c] of inputs to piece number `entry`."""
        logits: Tensor = self.head(self.features(inputs, entry))
        return logits

    def shared(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters that come from the source, with their names in the backbone."""
        yield from self.backbone.named_parameters()

    def adapted(self) -> tuple[Backbone, Head]:
        """Return the trained backbone, frozen for use on the CPU, and its head."""
        module = copy.deepcopy(self.backbone).cpu().requires_grad_(requires_grad=False).eval()
        weight, bias = self.head.weight.detach().cpu(), self.head.bias.detach().cpu()
        return Backbone(self.record, module), Head(weight.clone(), bias.clone(), None)
