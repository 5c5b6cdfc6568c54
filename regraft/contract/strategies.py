"""The ways of transferring as a user asks for them: one small class each, told apart by `type`.

Adding one: a class here, its place in `AnyStrategy`, and its record in `catalog.STRATEGIES`.
"""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field

from regraft.contract.naming import Text
from regraft.contract.strict import Auto, Strict

MIN_NEW = 5  # images of a label that is added to a finished model
_Rate = Annotated[float, Field(gt=0.0, le=1.0)]
_Strength = Annotated[float, Field(ge=0.0, le=1e6)]
_Pull = Annotated[float, Field(ge=0.0, le=1e12)]


class Strategy(Strict):
    """What every strategy declares: the images it learns from besides the dataset's.

    `needs_source`: it cannot do without labelled images of a source domain (`source_dataset`).
    `needs_shared_labels`: of those it can only use the ones whose label the dataset has too, so
    disjoint label spaces are an error. `uses_source`: it learns from the source itself; before
    any other strategy the backbone is trained on a source that is given. `takes_unlabelled`: it
    learns from images of `unlabelled_dataset` where there are any. `chooses_backbone`: it may be
    given several backbones to choose from.
    """

    needs_source: ClassVar[bool] = False
    needs_shared_labels: ClassVar[bool] = False
    uses_source: ClassVar[bool] = False
    takes_unlabelled: ClassVar[bool] = False
    chooses_backbone: ClassVar[bool] = False

    type: str


class LinearProbe(Strategy):
    """A linear head on the frozen backbone, its L2 chosen by cross-validation."""

    type: Literal["linear_probe"] = "linear_probe"


class Prototype(Strategy):
    """The mean of each class's frozen features, compared by cosine; nothing is trained.

    `extends` keeps the head of `base.model` as it is and adds each label of the dataset that the
    model does not know, from five images on; `label` names the one to add alone, and is what
    the images of a dataset without labels show.
    """

    type: Literal["prototype"] = "prototype"
    extends: bool = False
    label: Text | None = None


class AutoStrategy(Strategy):
    """The planner: tries what the images and the time allow, and keeps what is surely better.

    Heads on frozen features are compared by cross-validation, a source's weighted images among
    them where one is given. `fine_tuning` then tries training the backbone by successive
    halving, in at most half of `limits.max_minutes`, where enough images can be held back to
    tell; with a source its ways are also those that draw both domains together. `off` never does.
    """

    uses_source: ClassVar[bool] = True
    takes_unlabelled: ClassVar[bool] = True
    chooses_backbone: ClassVar[bool] = True

    type: Literal["auto"] = "auto"
    fine_tuning: Literal["on", "off"] = "on"


class InstanceWeighting(Strategy):
    """A linear head on the frozen backbone, from target images and weighted source images.

    `trains: "tail"` trains the last two stages with the head, on the same weights.
    `weighting` says where the weights come from: `tradaboost` from `rounds` of boosting (Dai et
    al. 2007), `density_ratio` from a classifier that tells the domains apart, `kmm` from kernel
    mean matching (Huang et al. 2007); a weight of the last two is at most about `max_weight`
    times their mean. `source_weight` is what all source images count together, as a share of
    what all target images do, before any boosting.
    """

    needs_source: ClassVar[bool] = True
    uses_source: ClassVar[bool] = True
    needs_shared_labels: ClassVar[bool] = True

    type: Literal["instance_weighting"] = "instance_weighting"
    trains: Literal["head", "tail"] = "head"
    weighting: Literal["tradaboost", "density_ratio", "kmm"] = "tradaboost"
    source_weight: Annotated[float, Field(gt=0.0, le=100.0)] = 0.3
    max_weight: Annotated[float, Field(ge=1.0, le=1000.0)] = 10.0
    rounds: Annotated[int, Field(ge=1, le=100)] = 10


class FineTuning(Strategy):
    """What all strategies have that train the backbone or a part of it.

    `freeze_until` names the last stage that stays as it is, with all before it; null trains
    every stage. `backbone_lr_factor` is the backbone's learning rate relative to the head's
    (discriminative rates), and `gradual_unfreezing` trains the head first and one stage more
    with each epoch (both Howard & Ruder 2018).
    """

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


class Alignment(FineTuning):
    """What strategies have that make source and target alike in the features they train.

    The head and the last stages are trained on labelled images of both domains, plus `strength`
    times a term that is small where the domains cannot be told apart. `auto` freezes all stages
    but the last two.
    """

    needs_source: ClassVar[bool] = True
    uses_source: ClassVar[bool] = True
    takes_unlabelled: ClassVar[bool] = True

    freeze_until: Annotated[str, Field(max_length=64)] | Auto | None = "auto"
    strength: _Strength


# The strengths: with 24 photos and 182 drawings (samples/objects at 96 pixels, one draw, 94 photos
# to judge by) the training ends at 78% without a term, at 87% with CORAL's, 86% with MMD's and 83%
# with DANN's.


class Coral(Alignment):
    """The distance between the covariances of both domains' features (Sun & Saenko 2016)."""

    type: Literal["coral"] = "coral"
    strength: _Strength = 10.0


class Mmd(Alignment):
    """The maximum mean discrepancy of both domains under several kernels (Long et al. 2015)."""

    type: Literal["mmd"] = "mmd"
    strength: _Strength = 1.0


class Dann(Alignment):
    """A discriminator of the domains, learned against (Ganin et al. 2016)."""

    needs_shared_labels: ClassVar[bool] = True

    type: Literal["dann"] = "dann"
    strength: _Strength = 1.0


AnyStrategy = Annotated[
    LinearProbe
    | AutoStrategy
    | Prototype
    | PartialFinetune
    | FullFinetune
    | LpFt
    | L2Sp
    | InstanceWeighting
    | Coral
    | Mmd
    | Dann,
    Field(discriminator="type"),
]

NEED_SOURCE = frozenset(
    one.model_fields["type"].default
    for one in get_args(get_args(AnyStrategy)[0])
    if one.needs_source
)
