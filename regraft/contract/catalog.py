"""What can be trained: frozen records of the strategies, and of the backbones (`backbones`).

A record holds facts that need no torch: sizes, preprocessing, licence, where weights come from.
"""

from typing import NamedTuple

from regraft.contract.backbones import BACKBONES, BackboneRecord

__all__ = ["BACKBONES", "DEFAULT_BACKBONE", "STRATEGIES", "BackboneRecord", "StrategyRecord"]

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
            type="auto",
            trains="what is found to be worth it: a head, or the backbone too",
            summary="Compares heads, a source and fine-tuning on images left out of training; "
            "takes the simplest that none surely beats.",
            reference="Jamieson & Talwalkar 2016, Non-stochastic Best Arm Identification and "
            "Hyperparameter Optimization",
        ),
        StrategyRecord(
            type="prototype",
            trains="nothing: class means of the frozen backbone's features",
            summary="The nearest class mean by cosine, for one to five images of a class.",
            reference="Snell et al. 2017, Prototypical Networks for Few-shot Learning",
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
        StrategyRecord(
            type="instance_weighting",
            trains="the head, or the last stages too, on target images and weighted source images",
            summary="Source images count the more, the more they are like the target's.",
            reference="Huang et al. 2007, Correcting Sample Selection Bias by Unlabeled Data; "
            "Dai et al. 2007, Boosting for Transfer Learning",
        ),
        StrategyRecord(
            type="coral",
            trains="the head and the last stages, on source and target",
            summary="Cross-entropy, and the distance between both domains' covariances.",
            reference="Sun & Saenko 2016, Deep CORAL",
        ),
        StrategyRecord(
            type="mmd",
            trains="the head and the last stages, on source and target",
            summary="Cross-entropy, and the domains' mean discrepancy under several kernels.",
            reference="Long et al. 2015, Learning Transferable Features with Deep Adaptation "
            "Networks",
        ),
        StrategyRecord(
            type="dann",
            trains="the head and the last stages, on source and target",
            summary="Cross-entropy, against a discriminator that tells the domains apart.",
            reference="Ganin et al. 2016, Domain-Adversarial Training of Neural Networks",
        ),
    )
}
