"""`JobSpec`: the one definition of a job's parameters, from the client's body to the engine."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from regraft.contract.catalog import BACKBONES, DEFAULT_BACKBONE
from regraft.contract.ids import DatasetId
from regraft.contract.naming import MODEL_NAME_PATTERN, Metadata, Text, slug
from regraft.contract.refs import ModelReference
from regraft.contract.strategies import AnyStrategy, FineTuning, LinearProbe, Prototype
from regraft.contract.strict import Auto, Strict

MAX_SEED = 2**63 - 1
Exports = list[Literal["onnx", "torch_export"]]
DATASETS = ("dataset", "test_dataset", "source_dataset", "unlabelled_dataset")


def _known(name: str) -> str:
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; choose one of: {', '.join(BACKBONES)}")
    return name


BackboneName = Annotated[str, Field(max_length=64), AfterValidator(_known)]


class FromBackbone(Strict):
    """Training starts from a backbone of the catalogue."""

    backbone: BackboneName = DEFAULT_BACKBONE

    @property
    def named(self) -> list[str]:
        """The catalogue's backbones that are named."""
        return [self.backbone]


class FromModel(Strict):
    """Training starts from the weights of a model of one's own, with a new head.

    `model` is its id, `name:version` or `name@alias`; a job that was taken on holds the id, so
    that it starts from the model that was meant when it was submitted.
    """

    model: ModelReference

    @property
    def named(self) -> list[str]:
        """The catalogue's backbones that are named: none, the model has its own."""
        return []


class FromBackbones(Strict):
    """Training starts from one of several backbones; the strategy chooses which."""

    backbones: list[BackboneName] = Field(min_length=1, max_length=len(BACKBONES))

    @field_validator("backbones")
    @classmethod
    def _distinct(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names a backbone twice")
        return names

    @property
    def named(self) -> list[str]:
        """The catalogue's backbones that are named."""
        return self.backbones


BASE_KINDS = ("backbone", "model", "backbones")


def _kind(base: Any) -> str:
    """Return which of `BASE_KINDS` is meant; the catalogue's where nothing is said."""
    fields = base if isinstance(base, dict) else getattr(base, "__dict__", {})
    return next((kind for kind in BASE_KINDS[1:] if kind in fields), BASE_KINDS[0])


AnyBase = Annotated[
    Annotated[FromBackbone, Tag("backbone")]
    | Annotated[FromModel, Tag("model")]
    | Annotated[FromBackbones, Tag("backbones")],
    Discriminator(_kind),
]


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


class Evaluation(Strict):
    """How good answers are to be: each label's threshold is the lowest that reaches `precision`."""

    precision: float = Field(default=0.95, ge=0.5, le=1.0)


class Limits(Strict):
    """When to give up: minutes of running, over all attempts."""

    max_minutes: int = Field(default=60, ge=1, le=1440)


class JobSpec(Strict):
    """What to train, on what, and how; validated once, at the edge.

    `source_dataset` holds labelled images of another domain, `unlabelled_dataset` images like
    the dataset's whose labels, if they have any, are not looked at.
    `guard` delivers the frozen head where the adapted model is no safe gain over it; `off`
    delivers what was asked for, whatever it is worth.
    """

    dataset: DatasetId
    test_dataset: DatasetId | None = None
    source_dataset: DatasetId | None = None
    unlabelled_dataset: DatasetId | None = None
    base: AnyBase = FromBackbone()
    strategy: AnyStrategy = LinearProbe()
    validation: Validation = Validation()
    hyperparameters: Hyperparameters = Hyperparameters()
    evaluation: Evaluation = Evaluation()
    limits: Limits = Limits()
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    exports: Exports = Field(default=["onnx"], max_length=4)
    comparisons: list[Literal["from_scratch"]] = Field(default=[], max_length=4)
    guard: Literal["on", "off"] = "on"

    @field_validator(*DATASETS[1:])
    @classmethod
    def _another(cls, dataset: str | None, info: ValidationInfo) -> str | None:
        named = (name for name in DATASETS if info.data.get(name) == dataset)
        same = None if dataset is None else next(named, None)
        if same is not None:
            raise ValueError(f"must be another dataset than `{same}`")
        return dataset

    @model_validator(mode="after")
    def _fits_the_strategy(self) -> Self:
        fault = _misfit(self)
        if fault is not None:
            field, text = fault
            raise PydanticCustomError("strategy_misfit", "{text}", {"text": text, "field": field})
        return self


def _misfit(spec: JobSpec) -> tuple[str, str] | None:
    """Return the field that the strategy cannot work with, or lacks, and a sentence about it."""
    strategy, base = spec.strategy, spec.base
    if strategy.needs_source and spec.source_dataset is None:
        text = f"{strategy.type} learns from labelled images of another domain: name their dataset"
        return "source_dataset", text
    if not strategy.takes_unlabelled and spec.unlabelled_dataset is not None:
        return "unlabelled_dataset", f"{strategy.type} cannot learn from unlabelled images"
    if isinstance(strategy, Prototype) and (fault := _no_extension(spec, strategy)):
        return fault
    if isinstance(base, FromBackbones) and not strategy.chooses_backbone:
        text = f"{strategy.type} trains one backbone: name it as `base.backbone`"
        return "base.backbones", text
    faults = (stage_fault(strategy, name) for name in base.named)
    return next((("strategy.freeze_until", text) for text in faults if text), None)


def _no_extension(spec: JobSpec, strategy: Prototype) -> tuple[str, str] | None:
    """Return what keeps a model from being extended, or why nothing is."""
    if not strategy.extends:
        text = "only a model that is extended is given a label"
        return None if strategy.label is None else ("strategy.label", text)
    if not isinstance(spec.base, FromModel):
        return "base.model", "only a finished model can be extended: name it"
    if spec.source_dataset is not None:
        return "source_dataset", "a model that is extended learns from the dataset alone"
    if spec.comparisons:
        return "comparisons", "a model that is extended is compared with itself alone"
    return None


def stage_fault(strategy: AnyStrategy, backbone: str) -> str | None:
    """Return a sentence where the strategy names a stage that the backbone has not."""
    stage = strategy.freeze_until if isinstance(strategy, FineTuning) else None
    stages = BACKBONES[backbone].stages
    if stage in {None, "auto", *stages}:
        return None
    return f"{backbone} has no stage {stage!r}; choose one of: {', '.join(stages)}"


class JobSubmission(JobSpec):
    """The body of `POST /v1/jobs`: a spec's fields, and what the job is called."""

    name: Text | None = None
    register_as: str | None = Field(default=None, pattern=MODEL_NAME_PATTERN)
    metadata: Metadata = Field(default={})
    priority: int = Field(default=0, ge=-100, le=100)

    def spec(self) -> JobSpec:
        """Return the spec alone."""
        return JobSpec.model_validate({name: getattr(self, name) for name in JobSpec.model_fields})

    def model_name(self) -> str:
        """Return the registry name the model will have: given, from the name, or `model`."""
        return self.register_as or slug(self.name or "") or "model"
