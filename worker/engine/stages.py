"""A backbone as a chain of stages, so that it can be cut, frozen up to there, and run from there.

May import torch, torchvision and the contract.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import ConvNeXt

from regraft.contract.catalog import BackboneRecord

END = "end"  # what follows the last stage: always trained with the head

# Where each stage ends in torchvision's `features`; what is left belongs to the end.
_BOUNDS = {
    "vgg16": (5, 10, 17, 24, 31),
    "mobilenet_v3_large": (2, 4, 7, 13, 16),
    "mobilenet_v3_small": (2, 4, 9, 12),
    "efficientnet_b0": (2, 3, 4, 5, 6, 7, 8),
    "convnext_tiny": (2, 4, 6, 8),
    "swin_t": (2, 4, 6, 8),
}


class Piece(NamedTuple):
    """A stage, or the end: `run` maps the piece before's output on; `owns` names its submodules.

    The first stage takes pixels [n, 3, size, size] and holds the stem; the end gives features.
    """

    name: str
    owns: tuple[str, ...]
    run: Callable[[Tensor], Tensor]

    def has(self, name: str) -> bool:
        """Tell whether a parameter, buffer or submodule belongs to this piece, by its name."""
        return any(name == own or name.startswith(f"{own}.") for own in self.owns)


def pieces_of(record: BackboneRecord, module: nn.Module) -> list[Piece]:
    """Return the pieces of a backbone without classifier; run in turn they are `module` itself."""
    network: Any = module
    if record.library == "timm":
        pieces = _efficientnet_lite(network)
    elif record.architecture.startswith("resnet"):
        pieces = _resnet(network)
    elif record.architecture == "vit_b_16":
        pieces = _vision_transformer(network)
    else:
        pieces = _feature_list(network, _BOUNDS[record.architecture])
    named = zip((*record.stages, END), pieces, strict=True)
    return [piece._replace(name=name) for name, piece in named]


def _chain(*steps: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    def run(value: Tensor) -> Tensor:
        for step in steps:
            value = step(value)
        return value

    return run


def _efficientnet_lite(network: Any) -> list[Piece]:
    blocks = [Piece("", (f"blocks.{n}",), block) for n, block in enumerate(network.blocks)]
    stem = Piece(
        "",
        ("conv_stem", "bn1", "blocks.0"),
        _chain(network.conv_stem, network.bn1, network.blocks[0]),
    )
    end = Piece(
        "", ("conv_head", "bn2"), _chain(network.conv_head, network.bn2, network.forward_head)
    )
    return [stem, *blocks[1:], end]


def _resnet(network: Any) -> list[Piece]:
    stem = (network.conv1, network.bn1, network.relu, network.maxpool)
    first = Piece("", ("conv1", "bn1", "layer1"), _chain(*stem, network.layer1))
    rest = [Piece("", (f"layer{n}",), getattr(network, f"layer{n}")) for n in (2, 3, 4)]
    return [first, *rest, Piece("", (), _chain(network.avgpool, _flat))]


def _flat(value: Tensor) -> Tensor:
    return value.flatten(1)


def _feature_list(network: Any, bounds: Sequence[int]) -> list[Piece]:
    starts = (0, *bounds)
    pieces = [
        Piece("", tuple(f"features.{n}" for n in range(start, end)), network.features[start:end])
        for start, end in zip(starts, bounds, strict=False)
    ]
    left = range(bounds[-1], len(network.features))
    owns = (*(f"features.{n}" for n in left), "norm", "classifier")
    steps = [network.features[bounds[-1] :]] if left else []
    if hasattr(network, "permute"):
        steps += [network.norm, network.permute, network.avgpool, network.flatten]
    else:
        # ConvNeXt's classifier flattens by itself, behind a norm over channels.
        flat = () if isinstance(network, ConvNeXt) else (_flat,)
        steps += [network.avgpool, *flat, network.classifier]
    return [*pieces, Piece("", owns, _chain(*steps))]


def _vision_transformer(network: Any) -> list[Piece]:
    encoder = network.encoder

    def stem(pixels: Tensor) -> Tensor:
        patches = network._process_input(pixels)  # noqa: SLF001 - it has no public name
        token = network.class_token.expand(len(patches), -1, -1)
        tokens: Tensor = encoder.dropout(torch.cat([token, patches], dim=1) + encoder.pos_embedding)
        return tokens

    def end(tokens: Tensor) -> Tensor:
        first: Tensor = encoder.ln(tokens)[:, 0]
        return first

    layers = [
        Piece("", (f"encoder.layers.encoder_layer_{n}",), layer)
        for n, layer in enumerate(encoder.layers)
    ]
    owns = ("conv_proj", "class_token", "encoder.pos_embedding", *layers[0].owns)
    first = Piece("", owns, _chain(stem, layers[0].run))
    return [first, *layers[1:], Piece("", ("encoder.ln",), end)]
