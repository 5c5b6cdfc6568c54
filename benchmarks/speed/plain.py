"""The plain PyTorch loop that a careful engineer writes: prefetched, channels_last, fused.

`--more` is what is trained: `head`, `partial_finetune` or `full_finetune`. Yields one epoch at
a time, for all epochs are the same work. Prints one JSON line.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as transforms

from benchmarks.speed import networks
from benchmarks.speed.case import Options, main
from benchmarks.speed.images import NUM_CLASSES, parted
from regraft.contract.catalog import BACKBONES
from worker.engine.stages import pieces_of

_BATCH = 32
_v2: Any = transforms


class Photos(Dataset[tuple[Tensor, int]]):
    """Photos on disk, decoded and normalised when they are asked for."""

    def __init__(self, listed: list[tuple[Path, int]], name: str) -> None:
        wanted = networks.settings(name)
        mode = InterpolationMode[BACKBONES[name].interpolation.upper()]
        self._listed = listed
        self._transform = _v2.Compose(
            [
                _v2.Resize(wanted.resize, interpolation=mode),
                _v2.CenterCrop(wanted.size),
                _v2.PILToTensor(),
                _v2.ToDtype(torch.float32, scale=True),
                _v2.Normalize(wanted.mean, wanted.std),
            ]
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._listed)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """Return one photo's tensor and class number."""
        path, label = self._listed[number]
        with Image.open(path) as image:
            return self._transform(image.convert("RGB")), label


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield epochs over the training photos, each with a pass over those held out."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    network = networks.with_head(options.backbone, options.weights, NUM_CLASSES)
    frozen, trained = _split(network, options.backbone, options.more)
    train, held_out = (Photos(part, options.backbone) for part in parted(options.photos))
    shown = DataLoader(train, _BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    judged = DataLoader(held_out, _BATCH, num_workers=2, persistent_workers=True)
    chosen = torch.optim.AdamW(
        [one for one in trained.parameters() if one.requires_grad], lr=1e-3, fused=True
    )
    for part in (shown, judged):
        next(iter(part))  # the workers are started, and the files in memory
    for _ in range(options.repeats):
        with options.timed() as done:
            _epoch(frozen, trained, shown, chosen)
            _judge(frozen, trained, judged)
        yield done


def _split(network: nn.Module, name: str, what: str) -> tuple[nn.Module, nn.Module]:
    """Return what is frozen and what is trained after it."""
    network = network.to(memory_format=torch.channels_last).eval()  # batch norms stay as they are
    children: Any = network
    backbone, head = children[0], children[1]
    if what == "head":
        return backbone, head
    pieces = pieces_of(BACKBONES[name], backbone)
    cut = 0
    if what == "partial_finetune":
        cut = BACKBONES[name].stages.index(networks.LAST_FROZEN[name]) + 1
    frozen, trained = (_Chain(part) for part in (pieces[:cut], pieces[cut:]))
    for own, parameter in backbone.named_parameters():
        parameter.requires_grad = any(piece.has(own) for piece in pieces[cut:])
    trained.own = nn.ModuleList([backbone, head])
    trained.head = head
    return frozen, trained


class _Chain(nn.Module):
    """Pieces of a backbone in turn, and the head behind the last if there is one."""

    def __init__(self, pieces: Any) -> None:
        super().__init__()
        self._pieces = pieces
        self.own: nn.Module = nn.Identity()
        self.head: nn.Module = nn.Identity()

    def forward(self, value: Tensor) -> Tensor:
        """Return what the pieces make of `value`."""
        for piece in self._pieces:
            value = piece.run(value)
        found: Tensor = self.head(value)
        return found


def _epoch(
    frozen: nn.Module,
    trained: nn.Module,
    shown: DataLoader[tuple[Tensor, int]],
    chosen: torch.optim.Optimizer,
) -> None:
    for pixels, labels in shown:
        with torch.no_grad():
            inputs = frozen(pixels.contiguous(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(trained(inputs), labels)
        chosen.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        chosen.step()


def _judge(frozen: nn.Module, trained: nn.Module, judged: DataLoader[tuple[Tensor, int]]) -> float:
    right = torch.zeros(())
    with torch.inference_mode():
        for pixels, labels in judged:
            logits = trained(frozen(pixels.contiguous(memory_format=torch.channels_last)))
            right += (logits.argmax(dim=1) == labels).sum()
    return float(right)


if __name__ == "__main__":
    main(measure)
