"""The ways of transferring as a user asks for them: one small class each, told apart by `type`.

Adding one: a class here, its place in `AnyStrategy`, and its record in `catalog.STRATEGIES`.
"""

from typing import Annotated, Literal

from pydantic import Field

from regraft.contract.strict import Auto, Strict

_Rate = Annotated[float, Field(gt=0.0, le=1.0)]
_Pull = Annotated[float, Field(ge=0.0, le=1e12)]


class LinearProbe(Strict):
    """A linear head on the frozen backbone, its L2 chosen by cross-validation."""

    type: Literal["linear_probe"] = "linear_probe"


class FineTuning(Strict):
    """What all strategies have that train the backbone or a part of it.

    `freeze_until` names the last stage that stays as it is, with all before it; null trains
    every stage. `backbone_lr_factor` is the backbone's learning rate relative to the head's
    (discriminative rates), and `gradual_unfreezing` trains the head first and one stage more
    with each epoch (both Howard & Ruder 2018).
    """

    type: str
    freeze_until: Annotated[str, Field(max_length=64)] | None = None
    backbone_lr_factor: _Rate | Auto = "auto"
    gradual_unfreezing: bool = False


class PartialFinetune(FineTuning):
    """The head and the last stages; `auto` freezes all stages but the last two."""

    type: Literal["partial_finetune"] = "partial_finetune"
    freeze_until: Annotated[str, Field(max_length=64)] | Auto = "auto"


class FullFinetune(FineTuning):
    """Everything, at a lower rate for the backbone."""

    type: Literal["full_finetune"] = "full_finetune"


class LpFt(FineTuning):
    """The head on frozen features first, then everything from there (Kumar et al. 2022)."""

    type: Literal["lp_ft"] = "lp_ft"


class L2Sp(FineTuning):
    """Everything, held near where it started (Li et al. 2018).

    Minimises the loss + alpha * ||theta - theta_source||^2 over the backbone's weights, without
    batch-norm statistics, + beta * ||head||^2. The paper writes alpha / 2 and beta / 2. The two
    take the place of `hyperparameters.weight_decay`.
    """

    type: Literal["l2_sp"] = "l2_sp"
    alpha: _Pull = 0.01
    beta: _Pull = 0.001


AnyStrategy = Annotated[
    LinearProbe | PartialFinetune | FullFinetune | LpFt | L2Sp, Field(discriminator="type")
]
