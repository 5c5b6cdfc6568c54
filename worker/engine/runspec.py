"""`RunSpec`: a job spec and the local paths that the engine works with; no torch here."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, field_validator, model_validator
from pydantic_core import PydanticCustomError

from regraft.contract.batch import BatchFormat
from regraft.contract.catalog import BACKBONES
from regraft.contract.job import FromModel, JobSpec
from regraft.contract.strategies import Prototype


class DataSource(BaseModel):
    """Where the images of one dataset lie.

    `folder` is a class-per-folder tree (from a shell), `pack` a pack file with its JSON index
    (from the supervisor, see `worker.engine.packs`); exactly one is given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path | None = None
    pack: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.folder is None) == (self.pack is None):
            raise ValueError("give exactly one of `folder` and `pack`")
        return self


class BaseModelFile(BaseModel):
    """A finished model to work with: its `model.safetensors`, and its backbone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: str
    weights: Path

    @field_validator("backbone")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BACKBONES:
            raise ValueError(f"unknown backbone {name!r}; choose one of: {', '.join(BACKBONES)}")
        return name


class FinishedFiles(BaseModel):
    """What else of the base model a run that extends it reads; null for what was not kept.

    `data` are the datasets that it was trained on, those of them that are still there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metrics: Path | None = None
    predictions: Path | None = None
    data: list[DataSource] = []


class Surroundings(BaseModel):
    """Where a run works, and by what means.

    `cache` is shared by runs of one tenant and may be deleted at any time; `shared_cache` holds
    what only depends on public weights; `workspace` belongs to this run and attempt alone.
    `runtime` computes the features of published backbones; null takes what was measured as the
    fastest, once for `shared_cache`. `stages_features` says that whoever runs it answers `wanted`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    workspace: Path
    cache: Path
    shared_cache: Path
    weights_dir: Path | None = None
    num_threads: int | None = None
    runtime: Literal["eager", "onnxruntime", "cuda", "cuda_compiled"] | None = None
    stages_features: bool = False


class BatchRun(Surroundings):
    """One batch: a finished model's answers about every image of a dataset.

    `rows` has a line of JSON for each (`worker.engine.batch_rows.Asked`), in the order of the
    answers; `labels` is the model's `labels.json`. The first `parts_done` parts, of
    `rows_per_part` rows each, were made by earlier attempts.
    """

    model: BaseModelFile
    labels: Path
    data: DataSource
    rows: Path
    format: BatchFormat
    top: int
    rows_per_part: int
    parts_done: int = 0


class RunSpec(Surroundings):
    """One run of the engine.

    `source_data`, `unlabelled_data` and `base_model` are where `spec.source_dataset`,
    `spec.unlabelled_dataset` and `spec.base.model` lie: each is given where the spec names one.
    `finished` are other files of the base model, where it is extended or evaluated; an
    evaluation measures it on `data` and takes nothing else of `spec`.
    `live_model` is the one that the merchant uses today under this name, to be compared with.
    `resume_from` is an earlier attempt's checkpoint, its hash verified; a run that cannot use
    it starts anew and says so in an event. `name` and `job` are what the model's card calls them.
    """

    task: Literal["train", "evaluate"] = "train"
    name: str = "model"
    job: str | None = None
    spec: JobSpec
    data: DataSource
    test_data: DataSource | None = None
    source_data: DataSource | None = None
    unlabelled_data: DataSource | None = None
    base_model: BaseModelFile | None = None
    finished: FinishedFiles | None = None
    live_model: BaseModelFile | None = None
    resume_from: Path | None = None

    @model_validator(mode="after")
    def _lies_somewhere(self) -> Self:
        base = self.spec.base
        reads_it = extends(self.spec) or self.task == "evaluate"
        if (self.finished is None) == reads_it:
            text = "give it where the base model is extended or evaluated, and only there"
            raise PydanticCustomError("one_of_two", "{text}", {"text": text, "field": "finished"})
        named = {
            "source_data": self.spec.source_dataset,
            "unlabelled_data": self.spec.unlabelled_dataset,
            "base_model": base.model if isinstance(base, FromModel) else None,
        }
        for field, name in named.items():
            if (name is None) != (getattr(self, field) is None):
                text = f"give both, or neither, of `{field}` and its id in `spec`"
                raise PydanticCustomError("one_of_two", "{text}", {"text": text, "field": field})
        return self

    @property
    def backbones(self) -> list[str]:
        """The backbones of the catalogue that training may start from, one at least."""
        own = self.base_model
        return self.spec.base.named if own is None else [own.backbone]


def extends(spec: JobSpec) -> bool:
    """Tell whether a job adds labels to a finished model."""
    return isinstance(spec.strategy, Prototype) and spec.strategy.extends
