"""The house: what may import what, what the API never loads, and what the wheel holds."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("regraft", "core", "db", "api", "serve", "worker", "deploy")


def _python(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_arrows() -> None:
    """An import against the arrows would pull torch into the API, or SQL into the engine."""
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "module", ["api.app", "api.wsgi", "serve.app", "serve.child", "worker.app", "worker.control"]
)
def test_torch_stays_out(module: str) -> None:
    """The API image has no torch, and a supervisor with torch could not fork safely."""
    _python(f"import {module}, sys; assert 'torch' not in sys.modules")


def test_the_api_never_loads_the_queue() -> None:
    """A request that publishes would hang when Redis does."""
    _python("import api.app, sys; assert not {'celery', 'kombu', 'redis'} & sys.modules.keys()")


def test_the_engine_package_is_empty() -> None:
    """The supervisor reads the engine's messages, and must not pay for torch by doing so."""
    _python(
        "import worker.engine.messages, worker.engine.packs, sys; assert 'torch' not in sys.modules"
    )


@pytest.mark.parametrize("room", ROOMS)
def test_each_name_is_ours(room: str) -> None:
    """`worker` and `api` are common names: another package's would be started in our place."""
    spec = importlib.util.find_spec(room)
    assert spec is not None
    assert Path(str(spec.origin)).is_relative_to(ROOT)


def test_the_wheel_holds_regraft_alone(tmp_path: Path) -> None:
    """A merchant's engineer who installs the client would get top-level `api` and `db` packages."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"),
            *("-w", str(tmp_path / "dist"), str(tmp_path)),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    ours = {path for path in packed if not path.parts[0].endswith(".dist-info")}
    modules = {path.relative_to(ROOT) for path in (ROOT / "regraft").rglob("*.py")}
    assert ours == modules | {Path("regraft/py.typed")}
