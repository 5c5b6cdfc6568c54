"""`JobSpec`: the one definition of a job's parameters, from the client's body to the engine."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from regraft.contract.catalog import BACKBONES, DEFAULT_BACKBONE
from regraft.contract.ids import DatasetId
from regraft.contract.naming import MODEL_NAME_PATTERN, Metadata, Text, slug
from regraft.contract.strategies import AnyStrategy, FineTuning, LinearProbe
from regraft.contract.strict import Auto, Strict

MAX_SEED = 2**63 - 1
_FREEZE_UNTIL = {"field": "freeze_until"}  # the part of the strategy that is at fault


class Base(Strict):
    """Where training starts: a backbone of the catalogue."""

    backbone: str = Field(default=DEFAULT_BACKBONE, max_length=64)

    @field_validator("backbone")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BACKBONES:
            raise ValueError(f"unknown backbone {name!r}; choose one of: {', '.join(BACKBONES)}")
        return name


class Validation(Strict):
    """How target images are held out for evaluation: a stratified share, drawn by the seed."""

    fraction: float = Field(default=0.2, ge=0.0, le=0.5)
    seed: int = Field(default=0, ge=0, le=MAX_SEED)


class Hyperparameters(Strict):
    """What every training has; `auto` lets the strategy choose.

    For `linear_probe`, `epochs` bounds the solver's iterations, `batch_size` is the forward
    pass's, `weight_decay` fixes the L2 instead of choosing it, and the rest is unused.

    `early_stopping_patience` holds a fold of the training images back, keeps the epoch that does
    best on it, and ends training after so many epochs without a better one; `off` trains on all
    of them for all epochs. `mixup` is the parameter of its Beta distribution (Zhang et al. 2018),
    0 mixes nothing. `class_balanced` draws every class equally often.
    """

    epochs: Annotated[int, Field(ge=1, le=1000)] | Auto = "auto"
    batch_size: Annotated[int, Field(ge=1, le=1024)] | Auto = "auto"
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] | Auto = "auto"
    weight_decay: Annotated[float, Field(ge=0.0, le=10_000.0)] | Auto = "auto"
    label_smoothing: float = Field(default=0.0, ge=0.0, le=0.5)
    augmentation: Literal["auto", "none", "light", "standard"] = "auto"
    mixup: float = Field(default=0.0, ge=0.0, le=4.0)
    class_balanced: bool = False
    early_stopping_patience: Annotated[int, Field(ge=1, le=100)] | Literal["off"] = "off"


class Limits(Strict):
    """When to give up: minutes of running, over all attempts."""

    max_minutes: int = Field(default=60, ge=1, le=1440)


class JobSpec(Strict):
    """What to train, on what, and how; validated once, at the edge."""

    dataset: DatasetId
    test_dataset: DatasetId | None = None
    base: Base = Base()
    strategy: AnyStrategy = LinearProbe()
    validation: Validation = Validation()
    hyperparameters: Hyperparameters = Hyperparameters()
    limits: Limits = Limits()
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    exports: list[Literal["onnx"]] = Field(default=["onnx"], max_length=4)
    comparisons: list[Literal["from_scratch"]] = Field(default=[], max_length=4)

    @field_validator("strategy")
    @classmethod
    def _a_stage_of_the_backbone(cls, strategy: AnyStrategy, info: ValidationInfo) -> AnyStrategy:
        base = info.data.get("base")
        stage = strategy.freeze_until if isinstance(strategy, FineTuning) else None
        if base is None or stage in {None, "auto"}:
            return strategy
        stages = BACKBONES[base.backbone].stages
        if stage not in stages:
            message = f"{base.backbone} has no stage {stage!r}; choose one of: {', '.join(stages)}"
            raise PydanticCustomError("unknown_stage", "{text}", {"text": message, **_FREEZE_UNTIL})
        return strategy


class JobSubmission(JobSpec):
    """The body of `POST /v1/jobs`: a spec's fields, and what the job is called."""

    name: Text | None = None
    register_as: str | None = Field(default=None, pattern=MODEL_NAME_PATTERN)
    metadata: Metadata = Field(default={})
    priority: int = Field(default=0, ge=-100, le=100)

    @field_validator("test_dataset")
    @classmethod
    def _another(cls, test_dataset: str | None, info: ValidationInfo) -> str | None:
        if test_dataset is not None and test_dataset == info.data.get("dataset"):
            raise ValueError("must be another dataset than `dataset`")
        return test_dataset

    def spec(self) -> JobSpec:
        """Return the spec alone."""
        return JobSpec.model_validate({name: getattr(self, name) for name in JobSpec.model_fields})

    def model_name(self) -> str:
        """Return the registry name the model will have: given, from the name, or `model`."""
        return self.register_as or slug(self.name or "") or "model"
