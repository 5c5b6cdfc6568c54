"""The warm trainer over its pipes: runs, wishes, faults, and how it ends."""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.engine.conftest import SAMPLES, MakeSpec, TrainedRun
from worker.engine.feature_packs import folder_of
from worker.engine.messages import from_trainer

_START = [sys.executable, "-m", "worker.engine", "serve"]


class Trainer:
    """A trainer process and the messages that it sends."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            _START,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def send(self, message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(message if isinstance(message, str) else json.dumps(message))
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def run(self, spec: Any) -> None:
        self.send({"type": "run", "spec": spec.model_dump(mode="json")})

    def until(self, *kinds: str) -> list[Any]:
        """Return the messages up to the first of these kinds, checked against the contract."""
        found: list[Any] = []
        while not found or found[-1].type not in kinds:
            found.append(from_trainer.validate_json(self._lines.get(timeout=100)))
        return found

    def close(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(timeout=20)
        self._thread.join(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture(scope="module")
def trainer(trained: TrainedRun) -> Iterator[Trainer]:
    """One trainer for this file, ready; its runs find the features of the trained run."""
    started = Trainer()
    assert trained.result.done.labels
    assert [message.type for message in started.until("ready")] == ["ready"]
    yield started
    if started.process.poll() is None:
        started.close()


def test_runs_follow_each_other_in_one_warm_process(
    trainer: Trainer, make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """Each job would pay for imports and the backbone again."""
    spec = make_spec(tmp_path, SAMPLES / "target", SAMPLES / "target-test")
    for _ in range(2):
        trainer.run(spec)
        messages = trainer.until("done", "failed")
        assert [message.type for message in messages[-2:]] == ["produced", "done"]
        assert messages[-1].metrics == trained.result.done.metrics
        assert all(ref.path.is_file() for ref in messages[-2].blobs)
    said = [message.message for message in messages if message.type == "event"]
    assert any("computed before" in line for line in said)
    assert all(message.type != "ready" for message in messages)


def test_a_cancel_ends_the_run_and_leaves_the_trainer_ready(
    trainer: Trainer, make_spec: MakeSpec, tmp_path: Path
) -> None:
    """A cancel would wait for the end, or cost a restart."""
    fresh = make_spec(tmp_path, SAMPLES / "source", None).model_copy(update={"cache": tmp_path})
    trainer.run(fresh)
    trainer.until("progress")
    trainer.send({"type": "cancel"})
    end = trainer.until("done", "failed")[-1]
    assert (end.type, end.code) == ("failed", None)
    trainer.run(make_spec(tmp_path, SAMPLES / "target", None))
    assert trainer.until("done", "failed")[-1].type == "done"


def test_a_stop_keeps_a_model(trainer: Trainer, make_spec: MakeSpec, tmp_path: Path) -> None:
    """The best model so far would be thrown away."""
    spec = make_spec(tmp_path, SAMPLES / "target", None, comparisons=["from_scratch"])
    trainer.run(spec)
    trainer.send({"type": "stop"})
    end = trainer.until("done", "failed")[-1]
    assert end.type == "done"
    assert end.metrics.validation.accuracy > 0.6


def test_a_pause_leaves_a_checkpoint_and_the_trainer_ready(
    trainer: Trainer, make_spec: MakeSpec, tmp_path: Path
) -> None:
    """A paused job would hold the device, or begin anew."""
    options = {"strategy": {"type": "partial_finetune"}, "hyperparameters": {"epochs": 500}}
    trainer.run(make_spec(tmp_path, SAMPLES / "target", None, **options))
    trainer.until("metrics")
    trainer.send({"type": "pause"})
    messages = trainer.until("done", "failed", "paused")
    kinds = [message.type for message in messages]
    assert kinds[-1] == "paused"
    assert "checkpoint" in kinds
    (report,) = messages[kinds.index("checkpoint") :][:1]
    assert report.path.stat().st_size == report.size
    trainer.run(make_spec(tmp_path, SAMPLES / "target", None))
    assert trainer.until("done", "failed")[-1].type == "done"


def test_a_run_that_fails_says_why_and_the_next_one_works(
    trainer: Trainer, make_spec: MakeSpec, tmp_path: Path
) -> None:
    """One merchant's bad set would take the trainer from all the others."""
    (tmp_path / "empty").mkdir()
    trainer.run(make_spec(tmp_path, tmp_path / "empty", None))
    failed = trainer.until("done", "failed")[-1]
    assert (failed.type, failed.code, failed.param) == ("failed", "too_few_images", "dataset")
    weights = make_spec(tmp_path, SAMPLES / "target", None)
    (tmp_path / "efficientnet_lite0.pth").write_bytes(b"junk")
    trainer.run(weights.model_copy(update={"weights_dir": tmp_path}))
    assert trainer.until("done", "failed")[-1].code == "weights_missing"
    (tmp_path / "file").write_text("no folder can be made here")
    unwritable = make_spec(tmp_path / "file" / "work", SAMPLES / "target", None)
    trainer.run(unwritable)
    failed = trainer.until("done", "failed")[-1]
    assert failed.code == "trainer_failed"
    assert "Traceback" not in failed.message
    trainer.run(make_spec(tmp_path / "work", SAMPLES / "target", None))
    assert trainer.until("done", "failed")[-1].type == "done"


def test_a_run_asks_for_features_that_it_lacks(
    trainer: Trainer, make_spec: MakeSpec, trained: TrainedRun, tmp_path: Path
) -> None:
    """A host would compute what another has stored, or wait for ever where nobody answers."""
    spec = make_spec(tmp_path / "work", SAMPLES / "target", None)
    known = spec.cache
    spec = spec.model_copy(update={"cache": tmp_path / "cache", "stages_features": True})
    trainer.run(spec)
    wanted = trainer.until("wanted", "done", "failed")[-1]
    assert wanted.type == "wanted"
    folder = folder_of(known, wanted.key)
    shutil.copytree(folder, folder_of(tmp_path / "cache", wanted.key))
    trainer.send({"type": "staged", "packs": 1})
    messages = trainer.until("done", "failed")
    assert messages[-1].type == "done"
    assert all("images_per_second" not in one.values for one in messages if one.type == "metrics")
    (report,) = (one for one in messages if one.type == "features")
    assert report.key == wanted.key
    assert report.packs
    assert set(report.packs) <= {path.stem for path in folder.iterdir()}
    trainer.run(spec.model_copy(update={"cache": tmp_path / "empty"}))
    assert trainer.until("wanted")[-1].key == wanted.key
    trainer.send({"type": "cancel"})
    assert trainer.until("done", "failed", "wanted")[-1].type == "failed"


@pytest.mark.parametrize("line", ["not json", "{}", '{"type": "run", "spec": {}}'])
def test_a_line_it_does_not_know_is_answered(trainer: Trainer, line: str) -> None:
    """The supervisor would wait for a run that never started."""
    trainer.send(line)
    (answer,) = trainer.until("failed")
    assert answer.code == "trainer_failed"


def test_it_goes_when_its_supervisor_closes_the_pipe() -> None:
    """Trainers would pile up and hold memory after every restart of a worker."""
    started = Trainer()
    started.until("ready")
    assert started.close() == 0


_PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "worker.engine", "serve"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(100)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs prctl")
def test_it_dies_with_a_supervisor_that_is_killed() -> None:
    """A job would be trained twice after a crash."""
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait(timeout=10)
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    """Tell whether a process lives; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_others_print_does_not_reach_the_supervisor() -> None:
    """A library's stray line on stdout would break the protocol."""
    code = (
        "import os, sys; from worker.engine import serve;"
        "out = serve.Channel(serve._private_stdout()); print('stray', flush=True);"
        "os.write(1, b'stray too\\n'); out.send(serve.Ready())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == '{"type":"ready"}\n'
    assert "stray too" in done.stderr
