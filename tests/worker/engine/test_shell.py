"""`python -m worker.engine run.json` from a shell: output, exit codes, messages."""

import json
import subprocess
import sys
from pathlib import Path

from tests.worker.engine.conftest import SAMPLES, MakeSpec
from worker.engine.messages import Done


def _run(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "worker.engine", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_a_run_writes_its_model_and_prints_how_it_ended(
    make_spec: MakeSpec, tmp_path: Path
) -> None:
    """An engineer could not try the engine without the whole service."""
    spec = make_spec(tmp_path / "work", SAMPLES / "target", None)
    (tmp_path / "run.json").write_text(spec.model_dump_json())
    done = _run(tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    message = Done.model_validate_json(done.stdout)
    assert message.metrics.validation is not None
    assert (tmp_path / "work" / "model" / "bundle.zip").is_file()
    assert "training" in done.stderr
    assert "100%" in done.stderr


def test_a_run_that_cannot_succeed_says_why_in_words(make_spec: MakeSpec, tmp_path: Path) -> None:
    """A stack trace would be all there is to read."""
    (tmp_path / "empty").mkdir()
    spec = make_spec(tmp_path / "work", tmp_path / "empty", None)
    (tmp_path / "run.json").write_text(spec.model_dump_json())
    done = _run(tmp_path / "run.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "too_few_images" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_spec_names_every_field_that_is_wrong(make_spec: MakeSpec, tmp_path: Path) -> None:
    """The user would correct one mistake at a time."""
    spec = json.loads(make_spec(tmp_path, tmp_path, None).model_dump_json())
    spec["spec"]["hyperparameters"]["weight_decay"] = -1
    spec["data"] = {}
    spec["extra"] = 1
    (tmp_path / "run.json").write_text(json.dumps(spec))
    done = _run(tmp_path / "run.json")
    assert done.returncode == 2
    for words in ("spec.hyperparameters.weight_decay", "data: give exactly one", "extra"):
        assert words in done.stderr
    missing = _run(tmp_path / "none.json")
    assert missing.returncode == 2
    assert "none.json" in missing.stderr
