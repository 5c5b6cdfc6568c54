"""Where several backbones are allowed, the one whose features suit the labels is taken."""

import shutil
from pathlib import Path

import pytest

from regraft.contract.catalog import BACKBONES
from tests.worker.engine.conftest import DATASET, SAMPLES
from tests.worker.engine.random_backbone import random_record
from tests.worker.engine.recorder import Recorder
from worker.engine.runner import run
from worker.engine.runspec import DataSource, RunSpec
from worker.engine.selection import selected

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ["resnet18", "resnet34"]
DEGENERATE = ["mobilenet_v3_small", "resnet18"]  # the first, of random weights


def test_the_best_ranked_backbone_is_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ranking would be told and another backbone delivered."""
    for name in NAMES:
        monkeypatch.setitem(BACKBONES, name, random_record(name, tmp_path / "weights", 32))
    spec = {"dataset": DATASET, "base": {"backbones": NAMES}, "exports": []}
    spec |= {"strategy": {"type": "auto", "fine_tuning": "off"}}
    recorder = Recorder()
    done = run(
        RunSpec(
            run="run",
            spec=spec,
            data=DataSource(folder=SAMPLES / "target"),
            workspace=tmp_path / "work",
            cache=tmp_path / "cache",
            shared_cache=tmp_path / "shared",
            weights_dir=tmp_path / "weights",
        ),
        recorder,
    ).done
    ((_, message, data),) = [one for one in recorder.events if "LogME" in one[1]]
    scores = data["scores"]
    assert isinstance(scores, dict)
    assert scores.keys() == set(NAMES)
    best = max(NAMES, key=scores.__getitem__)
    assert done.backbone == done.lineage["backbone"] == best
    assert done.lineage["strategy"] == "auto"
    assert message in done.transfer.explanation
    assert done.transfer.guard is not None
    assert done.transfer.guard.compared_on == "left_out"
    fractions = [fraction for _, fraction in recorder.steps]
    assert fractions == sorted(fractions)


def test_a_backbone_without_evidence_is_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that are the same for every image have no score, and would be taken at random."""
    for name in DEGENERATE:
        monkeypatch.setitem(BACKBONES, name, random_record(name, tmp_path / "weights", 32))
    for label in ("bag", "sneaker"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for path in sorted((SAMPLES / "target" / label).iterdir())[:10]:
            shutil.copy(path, tmp_path / "data" / label)
    recorder = Recorder()
    backbone, sentence = selected(
        RunSpec(
            run="run",
            spec={
                "dataset": DATASET,
                "base": {"backbones": DEGENERATE},
                "strategy": {"type": "auto"},
            },
            data=DataSource(folder=tmp_path / "data"),
            workspace=tmp_path / "work",
            cache=tmp_path / "cache",
            shared_cache=tmp_path / "shared",
            weights_dir=tmp_path / "weights",
        ),
        recorder,
    )
    assert backbone.record.name == "resnet18"
    assert "mobilenet_v3_small -inf" in sentence
    (told,) = [data["scores"] for _, _, data in recorder.events if "scores" in data]
    assert isinstance(told, dict)
    assert list(told) == ["resnet18"]
    assert recorder.counts[-1] == (20, 20)
