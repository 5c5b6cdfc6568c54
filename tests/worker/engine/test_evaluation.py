"""A finished model is measured on any images, and those that it cannot know are counted apart."""

import shutil
from pathlib import Path

import pytest

from regraft.contract.errors import ErrorCode
from tests.worker.engine.conftest import SAMPLES, MakeSpec, TrainedRun
from tests.worker.engine.recorder import Recorder
from worker.engine.failures import EngineError
from worker.engine.runner import run
from worker.engine.runspec import BaseModelFile, FinishedFiles, RunSpec

MODEL = "md_01k00000000000000000000002"


def _spec(make_spec: MakeSpec, trained: TrainedRun, workspace: Path, data: Path) -> RunSpec:
    made = make_spec(workspace, data, None)
    changes = {
        "task": "evaluate",
        "spec": {**made.spec.model_dump(mode="json"), "base": {"model": MODEL}},
        "finished": FinishedFiles(metrics=trained.folder / "metrics.json"),
        "base_model": BaseModelFile(
            backbone="efficientnet_lite0", weights=trained.folder / "model.safetensors"
        ),
    }
    return RunSpec.model_validate({**made.model_dump(), **changes})


def test_the_model_is_as_good_as_its_own_test_said(
    make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """A merchant who measures again would be told another figure for the same photos."""
    result = run(_spec(make_spec, trained, tmp_path, SAMPLES / "target-test"), Recorder())
    before, again = trained.result.done.metrics.test, result.done.metrics.test
    assert before is not None
    assert again is not None
    assert again.confusion_matrix == before.confusion_matrix
    assert again.abstention == before.abstention
    assert again.ece == pytest.approx(before.ece, abs=1e-4)
    assert result.done.metrics.unknown_labels == []
    assert result.produced.files == []
    assert not (tmp_path / "blobs").exists()


def test_labels_that_it_does_not_know_are_counted_and_not_judged(
    make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """One folder too many would end the job, or make a good model look bad."""
    data = shutil.copytree(SAMPLES / "target-test", tmp_path / "data")
    (data / "coat").mkdir()
    for photo in sorted((SAMPLES / "source" / "coat").iterdir())[:7]:
        shutil.copy(photo, data / "coat")
    recorder = Recorder()
    done = run(_spec(make_spec, trained, tmp_path / "run", data), recorder).done
    (found,) = done.metrics.unknown_labels
    assert (found.label, found.num_images) == ("coat", 7)
    assert 0 <= found.num_answered <= 7
    before = trained.result.done.metrics.test
    assert before is not None
    assert done.metrics.test is not None
    assert done.metrics.test.confusion_matrix == before.confusion_matrix
    assert recorder.said("does not know 'coat': 7 images")
    shutil.rmtree(data)
    shutil.copytree(SAMPLES / "source" / "coat", data / "coat")
    with pytest.raises(EngineError) as caught:
        run(_spec(make_spec, trained, tmp_path / "again", data), Recorder())
    assert (caught.value.code, caught.value.param) == (ErrorCode.TOO_FEW_IMAGES, "dataset")
