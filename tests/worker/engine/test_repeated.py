"""The same job once more makes the same files, byte for byte."""

from pathlib import Path

import pytest

from regraft.contract.catalog import BACKBONES
from regraft.contract.job import JobSpec
from tests.worker.engine.conftest import DATASET, SAMPLES, TEST_DATASET
from tests.worker.engine.random_backbone import random_record
from worker.engine.context import Context
from worker.engine.export.segments import compose
from worker.engine.runner import run
from worker.engine.runspec import DataSource, RunSpec

EQUAL = {
    "model.onnx",
    "model.safetensors",
    "head.safetensors",
    "labels.json",
    "preprocess.json",
    "metrics.json",
    "predictions.json",
    "report.html",
    "predict.py",
}
NAMING_THE_JOB = {"README.md", "bundle.zip"}


def _made(folder: Path, job: str, backbone: str) -> dict[str, bytes]:
    """Run a job on caches that all jobs of `folder` share, and return its files."""
    asked = {"dataset": DATASET, "test_dataset": TEST_DATASET, "base": {"backbone": backbone}}
    spec = RunSpec(
        run="run",
        job=job,
        spec=JobSpec.model_validate(asked),
        data=DataSource(folder=SAMPLES / "target"),
        test_data=DataSource(folder=SAMPLES / "target-test"),
        workspace=folder / job,
        cache=folder / "cache",
        shared_cache=folder / "shared",
        weights_dir=folder / "weights",
        runtime="eager",
    )
    compose(run(spec, Context()).produced, folder / job / "model")
    return {path.name: path.read_bytes() for path in (folder / job / "model").iterdir()}


@pytest.mark.usefixtures("one_thread")
def test_only_the_card_tells_a_repeated_job_from_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could tell a changed model from the same one, and equal files would be kept twice."""
    record = random_record("mobilenet_v3_small", tmp_path / "weights")
    monkeypatch.setitem(BACKBONES, record.name, record)
    first, second = (_made(tmp_path, job, record.name) for job in ("job-1", "job-2"))
    assert set(first) == set(second) == EQUAL | NAMING_THE_JOB
    assert {name for name in first if first[name] != second[name]} == NAMING_THE_JOB
    assert first["README.md"].replace(b"`job-1`", b"`job-2`") == second["README.md"]
