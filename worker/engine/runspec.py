"""`RunSpec`: a job spec and the local paths that the engine works with; no torch here."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from regraft.contract.job import JobSpec


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


class RunSpec(BaseModel):
    """One run of the engine.

    `cache` is shared by runs of one tenant and may be deleted at any time; `shared_cache` holds
    what only depends on public weights; `workspace` belongs to this run and attempt alone.
    `resume_from` is an earlier attempt's checkpoint, its hash verified; a run that cannot use
    it starts anew and says so in an event.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: str
    spec: JobSpec
    data: DataSource
    test_data: DataSource | None = None
    workspace: Path
    cache: Path
    shared_cache: Path
    weights_dir: Path | None = None
    num_threads: int | None = None
    resume_from: Path | None = None
