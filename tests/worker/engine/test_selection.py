"""Where several backbones are allowed, the one whose features suit the labels is taken."""

from pathlib import Path

import pytest

from regraft.contract.catalog import BACKBONES
from tests.worker.engine.conftest import DATASET, SAMPLES
from tests.worker.engine.random_backbone import random_record
from tests.worker.engine.recorder import Recorder
from worker.engine.runner import run
from worker.engine.runspec import DataSource, RunSpec

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ["mobilenet_v3_small", "resnet18"]


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
