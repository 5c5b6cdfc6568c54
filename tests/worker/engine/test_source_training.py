"""A source and a target in one job: the backbone learns the source, then the strategy adapts it."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from regraft.contract.catalog import BACKBONES
from tests.worker.engine.conftest import DATASET, SAMPLES
from tests.worker.engine.random_backbone import random_record
from tests.worker.engine.recorder import Recorder
from worker.engine.context import RunCancelledError, RunPausedError
from worker.engine.export.segments import compose
from worker.engine.runner import Result, run
from worker.engine.runspec import BaseModelFile, DataSource, RunSpec

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "mobilenet_v3_small"
SOURCE, MODEL = DATASET[:-1] + "2", "md_" + DATASET[3:]
TUNED: dict[str, Any] = {
    "strategy": {"type": "l2_sp"},
    "hyperparameters": {"epochs": 2, "batch_size": 4},
}


class Place(NamedTuple):
    """A shop's photos, and where runs on them keep their files."""

    root: Path
    weights: Path

    def spec(
        self,
        run_name: str,
        data: str = "target",
        base_model: BaseModelFile | None = None,
        resume_from: Path | None = None,
        **spec: Any,
    ) -> RunSpec:
        """Return a run on `data`, and on the source where the spec names it."""
        source = DataSource(folder=self.root / "source")
        return RunSpec(
            run=run_name,
            spec={
                "dataset": DATASET,
                "base": {"backbone": NAME},
                "exports": [],
                "guard": "off",
                **spec,
            },
            data=DataSource(folder=self.root / data),
            source_data=source if "source_dataset" in spec else None,
            base_model=base_model,
            workspace=self.root / run_name,
            cache=self.root / "cache",
            shared_cache=self.root / "shared",
            weights_dir=self.weights,
            resume_from=resume_from,
        )

    def tensors(self, result: Result, run_name: str) -> dict[str, Tensor]:
        """Return the model's tensors, as they are delivered."""
        folder = self.root / run_name / "model"
        compose(result.produced, folder)
        return load_file(folder / "model.safetensors")


class Interrupted(Recorder):
    """Pauses once a series has reached a step."""

    def __init__(self, series: str, step: int) -> None:
        super().__init__()
        self._when = (series, step)

    def should_pause(self) -> bool:
        series, step = self._when
        return step in self.at.get(series, [])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Coats and dresses to learn from, bags and sneakers to tell apart; a quick backbone."""
    monkeypatch.setitem(BACKBONES, NAME, random_record(NAME, tmp_path / "weights", 32))
    for part, names in (("source", ("coat", "dress")), ("target", ("bag", "sneaker"))):
        for name in names:
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for path in sorted((SAMPLES / part / name).iterdir())[:6]:
                shutil.copy(path, folder)
    return Place(tmp_path, tmp_path / "weights")


def test_one_job_is_two_jobs(place: Place) -> None:
    """Naming the source in the job, or training on it before, would end in two models."""
    alone: dict[str, Any] = {"strategy": {"type": "full_finetune"}, "validation": {"fraction": 0.0}}
    learned = run(place.spec("learned", data="source", **alone), Recorder())
    place.tensors(learned, "learned")
    weights = place.root / "learned" / "model" / "model.safetensors"
    base = BaseModelFile(backbone=NAME, weights=weights)
    ways: list[dict[str, Any]] = [{}, TUNED]
    for number, strategy in enumerate(ways):
        one, other = f"one{number}", f"other{number}"
        recorder = Recorder()
        together = run(place.spec(one, source_dataset=SOURCE, **strategy), recorder)
        apart = run(
            place.spec(other, **{**strategy, "base": {"model": MODEL}}, base_model=base), Recorder()
        )
        tensors = place.tensors(together, one)
        assert tensors.keys() == place.tensors(apart, other).keys()
        assert all(torch.equal(tensors[name], v) for name, v in place.tensors(apart, other).items())
        trained = together.done.lineage["source_trained_fingerprint"]
        assert trained == apart.done.lineage["weights_fingerprint"]
        assert apart.done.lineage["base_model"] == MODEL
        assert len(recorder.values["source_train_loss"]) == 12
        assert [f for _, f in recorder.steps] == sorted(f for _, f in recorder.steps)


def test_the_baseline_does_without_the_source(place: Place) -> None:
    """A source that does harm would do it to what it is compared with, and nobody would see it."""
    plain = run(place.spec("plain"), Recorder()).done
    done = run(place.spec("source", source_dataset=SOURCE), Recorder()).done
    assert done.transfer.baseline == plain.metrics.validation
    assert done.transfer.candidates != plain.transfer.candidates
    assert "first trained on 12 images of 2 classes of the source" in done.transfer.explanation
    assert "source" not in plain.transfer.explanation


def test_a_warm_start_says_what_its_baseline_rests_on(place: Place) -> None:
    """A gain over the merchant's last model would be read as one over the published backbone."""
    first = run(place.spec("first", **TUNED), Recorder())
    place.tensors(first, "first")
    weights = place.root / "first" / "model" / "model.safetensors"
    base = BaseModelFile(backbone=NAME, weights=weights)
    spec = place.spec("second", base={"model": MODEL}, base_model=base)
    recorder = Recorder()
    done = run(spec, recorder).done
    assert f"Training started from the backbone of the model {MODEL}" in done.transfer.explanation
    assert done.transfer.baseline == done.metrics.validation
    record = BACKBONES[NAME]
    assert done.lineage["weights_fingerprint"] != record.weights_fingerprint
    assert done.lineage["features_key"] != first.done.lineage["features_key"]
    assert not recorder.said("were computed before")
    own = place.tensors(run(spec, Recorder()), "second")
    tuned = load_file(weights)
    head = f"{record.classifier}."
    assert all(torch.equal(own[name], v) for name, v in tuned.items() if not name.startswith(head))


@pytest.mark.parametrize(("series", "step"), [("source_train_loss", 3), ("train_loss", 1)])
def test_a_paused_run_goes_on_where_it_was(place: Place, series: str, step: int) -> None:
    """A worker's restart would deliver another model, or train on the source again."""
    spec: dict[str, Any] = {"source_dataset": SOURCE, **TUNED}
    whole = place.tensors(run(place.spec("whole", **spec), Recorder()), "whole")
    interrupted = Interrupted(series, step)
    with pytest.raises(RunPausedError):
        run(place.spec("broken", **spec), interrupted)
    steps = [number for _, number in interrupted.checkpoints]
    assert steps == sorted(set(steps))
    path, _ = interrupted.checkpoints[-1]
    recorder = Recorder()
    result = run(place.spec("resumed", **spec, resume_from=path), recorder)
    resumed = place.tensors(result, "resumed")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    assert recorder.at[series][0] == step + 1
    assert ("source_train_loss" in recorder.at) == (series == "source_train_loss")


def test_the_source_is_not_learned_twice_after_a_late_failure(place: Place) -> None:
    """A head that failed to export would cost the whole source training again."""
    first, again = Recorder(), Recorder()
    spec: dict[str, Any] = {"source_dataset": SOURCE, "strategy": {"type": "linear_probe"}}
    whole = place.tensors(run(place.spec("whole", **spec), first), "whole")
    resumed = run(place.spec("again", **spec, resume_from=first.checkpoints[-1][0]), again)
    assert "source_train_loss" not in again.values
    tensors = place.tensors(resumed, "again")
    assert all(torch.equal(tensors[name], value) for name, value in whole.items())


def test_wishes_are_heeded_while_the_source_is_learned(place: Place) -> None:
    """A merchant who sees a mistake would wait for the whole source."""
    spec: dict[str, Any] = {"source_dataset": SOURCE, **TUNED}
    cancelled = Recorder(cancel_in="training")
    with pytest.raises(RunCancelledError):
        run(place.spec("cancelled", **spec), cancelled)
    assert "train_loss" not in cancelled.values
    stopped = Recorder(stop_in="training")
    run(place.spec("stopped", **spec), stopped)
    assert (stopped.at["source_train_loss"], stopped.at["train_loss"]) == ([0], [0])


def test_a_strategy_that_uses_the_source_gets_it_itself(place: Place) -> None:
    """Weighted source images would be weighed on features that were bent to them."""
    shutil.copytree(place.root / "target" / "bag", place.root / "source" / "bag")
    spec = place.spec("weighted", source_dataset=SOURCE, strategy={"type": "instance_weighting"})
    recorder = Recorder()
    done = run(spec, recorder).done
    assert "source_trained_fingerprint" not in done.lineage
    assert "source_train_loss" not in recorder.values
    assert done.lineage["source_dataset"] == SOURCE
