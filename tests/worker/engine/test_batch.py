"""A batch answers about every image as the shipped predictor does, once for each."""

import json
from pathlib import Path

import pytest

from regraft.contract.batch import BatchRow
from tests.worker.engine.conftest import SAMPLES, TrainedRun
from tests.worker.engine.recorder import Recorder
from worker.engine import batch
from worker.engine.batch_rows import Asked, write_asked
from worker.engine.context import RunPausedError
from worker.engine.data import load
from worker.engine.files import file_hash
from worker.engine.runspec import BaseModelFile, BatchRun, DataSource
from worker.engine.shipped.predict import Predictor

TOLERANCE = 0.005  # of a probability; docs/serving.md states it
DATA = DataSource(folder=SAMPLES / "target-test")


class Parts(Recorder):
    """Remembers the parts; pauses behind one, if told to."""

    def __init__(self, pause_behind: int | None = None) -> None:
        super().__init__()
        self.parts: list[tuple[int, Path, tuple[int, int]]] = []
        self.pause_behind = pause_behind

    def part(self, path: Path, sha256: str, size: int, seq: int, counts: tuple[int, int]) -> None:
        assert (file_hash(path), path.stat().st_size) == (sha256, size)
        self.parts.append((seq, path, counts))

    def should_pause(self) -> bool:
        return bool(self.parts) and self.parts[-1][0] == self.pause_behind

    def rows(self) -> list[BatchRow]:
        """Return the rows of all parts, in their order."""
        text = "".join(path.read_text() for _, path, _ in self.parts)
        return [BatchRow.model_validate_json(line) for line in text.splitlines()]


@pytest.fixture
def asked() -> list[Asked]:
    """Every test image under an id of its own, one the upload refused, and one twice."""
    images = load(DATA)
    rows = [
        Asked(f"img_{n}", one.name, None, one.sha256, "ok", None) for n, one in enumerate(images)
    ]
    refused = Asked("img_refused", "broken.jpg", "SKU-1", None, "truncated", "The file ends early.")
    return [*rows[:3], refused, *rows[3:], rows[0]._replace(image="img_twice")]


@pytest.fixture
def spec(trained: TrainedRun, asked: list[Asked], tmp_path: Path) -> BatchRun:
    """A batch of the trained model over the test images, in parts of seven rows."""
    write_asked(tmp_path / "rows.jsonl", iter(asked))
    model = BaseModelFile(
        backbone="efficientnet_lite0", weights=trained.folder / "model.safetensors"
    )
    return BatchRun(
        run="batch",
        workspace=tmp_path,
        cache=trained.spec.cache,
        shared_cache=trained.spec.shared_cache,
        model=model,
        labels=trained.folder / "labels.json",
        data=DATA,
        rows=tmp_path / "rows.jsonl",
        format="jsonl",
        top=2,
        rows_per_part=7,
    )


def test_it_says_what_the_shipped_predictor_says(
    spec: BatchRun, asked: list[Asked], trained: TrainedRun
) -> None:
    """A catalogue would be tagged by another model than the one that was tested."""
    listener = Parts()
    done = batch.run(spec, listener)
    rows = listener.rows()
    assert [(row.image, row.name) for row in rows] == [(one.image, one.name) for one in asked]
    assert done.num_parts == len(listener.parts) == -(-len(asked) // 7)
    assert sum(errors for _, _, (_, errors) in listener.parts) == 1
    assert rows[3].error is not None
    assert (rows[3].error.code, rows[3].label, rows[3].group) == ("truncated", None, "SKU-1")
    assert rows[-1].model_copy(update={"image": rows[0].image}) == rows[0]
    answered = [row for row in rows[:-1] if row.error is None]
    shipped = Predictor(trained.folder, 2).answer([one.read() for one in load(DATA)], top=2)
    for row, said in zip(answered, shipped, strict=True):
        assert row.probability == pytest.approx(said["probability"], abs=TOLERANCE)
        assert [one.label for one in row.top][:1] == [said["label"]] == [row.label]
        assert row.abstained == said["abstained"]
        assert len(row.top) == 2
    # The training has computed them all: no image passes the backbone again.
    assert listener.said("features of 0 were computed")


def test_a_paused_batch_goes_on_behind_what_it_has_answered(spec: BatchRun) -> None:
    """A lost worker would cost everything that was answered, or a row would be there twice."""
    whole = Parts()
    batch.run(spec, whole)
    expected = [row.model_dump() for row in whole.rows()]
    first = Parts(pause_behind=1)
    with pytest.raises(RunPausedError):
        batch.run(spec, first)
    assert [seq for seq, _, _ in first.parts] == [0, 1]
    before = [row.model_dump() for row in first.rows()]
    second = Parts()
    batch.run(spec.model_copy(update={"parts_done": 2}), second)
    assert before + [row.model_dump() for row in second.rows()] == expected


def test_an_image_that_cannot_be_read_costs_itself_alone(spec: BatchRun, tmp_path: Path) -> None:
    """One damaged file would end a batch of thousands."""
    folder = tmp_path / "data"
    (folder / "mug").mkdir(parents=True)
    (folder / "mug" / "broken.png").write_bytes(b"no image")
    (image,) = load(DataSource(folder=folder))
    gone = Asked("img_2", "gone.png", None, "0" * 64, "ok", None)
    write_asked(spec.rows, iter([Asked("img_1", "b", None, image.sha256, "ok", None), gone]))
    listener = Parts()
    batch.run(spec.model_copy(update={"data": DataSource(folder=folder)}), listener)
    assert [row.error and row.error.code for row in listener.rows()] == ["decoder_failed"] * 2


def test_csv_has_its_header_once(spec: BatchRun, asked: list[Asked]) -> None:
    """The header would stand among the rows, once for each part."""
    listener = Parts()
    batch.run(spec.model_copy(update={"format": "csv"}), listener)
    text = "".join(path.read_bytes().decode() for _, path, _ in listener.parts)
    lines = text.split("\r\n")
    assert [line for line in lines if line.startswith("image,")] == lines[:1]
    assert len(lines) == len(asked) + 2
    assert json.loads(spec.labels.read_bytes())["labels"][0] in text


def test_a_dataset_of_nothing_is_an_empty_file(spec: BatchRun) -> None:
    """A batch over refused images alone would wait for a part that never comes."""
    write_asked(spec.rows, iter([]))
    listener = Parts()
    assert batch.run(spec, listener).num_parts == 1
    assert listener.rows() == []
