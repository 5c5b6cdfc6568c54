"""Each case of `make bench` runs, on a few photos, and measures what it says."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.speed import eager, floor, networks, ours, plain
from benchmarks.speed.case import Measure, Options, processor_seconds
from benchmarks.speed.images import NUM_CLASSES, parted, photos
from regraft.contract.catalog import BACKBONES

_ROOT = Path(__file__).parents[3]
_PHOTOS = 20
Asks = Callable[..., Options]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the cases share: photos, weights, and the exported backbone."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture
def asks(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asks:
    """A function that makes a case's options; ResNet-18's record is put back at the end."""
    monkeypatch.setitem(BACKBONES, networks.DRAWN, BACKBONES[networks.DRAWN])

    def options(more: str = "") -> Options:
        return Options(
            backbone=networks.DRAWN,
            photos=photos(folder / "photos", _PHOTOS),
            work=tmp_path,
            shared=folder / "shared",
            weights=folder / "weights",
            repeats=1,
            epochs=1,
            threads=2,
            more=more,
        )

    return options


def test_photos_are_the_same_everywhere(folder: Path, tmp_path: Path) -> None:
    """Two machines would be compared on different work."""
    first = photos(folder / "photos", _PHOTOS)
    again = photos(tmp_path / "photos", _PHOTOS)
    names = sorted(path.relative_to(first) for path in first.rglob("*.jpg"))
    assert len(names) == _PHOTOS
    assert len({name.parts[0] for name in names}) == NUM_CLASSES
    assert all((first / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_no_photo_is_both_trained_on_and_held_out(tmp_path: Path) -> None:
    """The peers would be given another task than the job."""
    train, held_out = parted(photos(tmp_path, 100))
    assert (len(train), len(held_out)) == (80, 20)
    assert not {path for path, _ in train} & {path for path, _ in held_out}


def test_the_processor_time_of_children_counts() -> None:
    """A loop would hide its decoding in the workers that load its images."""
    code = "import sys; n = sum(range(30_000_000)); print(n, flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    before = processor_seconds()
    child = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)
    assert child.stdout is not None
    child.stdout.readline()
    alive = processor_seconds() - before
    child.communicate()
    ended = processor_seconds() - before
    assert alive > 0.1
    assert ended >= alive - 0.02


@pytest.mark.parametrize(
    ("measure", "more"),
    [
        (floor.measure, ""),
        (eager.measure, ""),
        (plain.measure, "head"),
        (plain.measure, "partial_finetune"),
        (plain.measure, "full_finetune"),
    ],
    ids=["floor", "eager", "head", "partial", "full"],
)
def test_a_case_measures(measure: Measure, more: str, asks: Asks) -> None:
    """`make bench` would break on the day that its figures are asked for."""
    (row,) = measure(asks(more))
    assert row["seconds"] > 0
    assert row["processor_seconds"] > 0


def test_a_loop_that_trains_leaves_the_shared_backbone_alone(asks: Asks) -> None:
    """The jobs measured after it would run on another network than the exported one."""
    options = asks("full_finetune")
    shared = networks.backbone(options.backbone, options.weights).module
    before = {name: value.clone() for name, value in shared.state_dict().items()}
    list(plain.measure(options))
    assert networks.backbone(options.backbone, options.weights).module is shared
    assert all(torch.equal(value, before[name]) for name, value in shared.state_dict().items())


def test_a_job_is_measured_on_the_caches_that_its_case_names(asks: Asks) -> None:
    """A job on a full cache would be called the first one."""
    for more, batches in (("first", 1), ("again", 0), ("grown", 1)):
        (row,) = ours.measure(asks(more))
        assert (row["batches"], row["photos"]) == (batches, _PHOTOS)


def test_a_run_writes_its_report(folder: Path, tmp_path: Path) -> None:
    """The figures would be lost with the terminal."""
    command = [sys.executable, "-m", "benchmarks.speed", "--only", "storage", "--models", "3"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    report = json.loads(done.stdout)
    assert report == json.loads((tmp_path / "report.json").read_text())
    assert report["storage"]["models"] == 3
    assert report["storage"]["bytes_per_model"] < 300_000
