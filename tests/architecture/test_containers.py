"""The container files: what they start exists, what they set is read, and the API has no torch."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.settings import ApiSettings
from core.settings import Serving, Settings, WebhookSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: it for name, it in COMPOSE["services"].items() if "build" in it}
_NOT_OURS = {"REMAP_SIGTERM"}


def _stage(name: str) -> str:
    """Return the instructions of one stage of the Dockerfile."""
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    (found,) = [text for text in stages if re.match(rf"\S+ AS {name}$", text.splitlines()[0])]
    return found


def test_the_dockerfile_passes_its_linter() -> None:
    """A mistake in it is otherwise met by the operator who builds it."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run(
        [str(hadolint), str(ROOT / "Dockerfile")], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_api_image_has_no_torch() -> None:
    """Torch would make the API's image gigabytes larger and its attack surface with it."""
    assert "torch" not in _stage("base") + _stage("api") + _stage("serve")
    assert "torch" in _stage("worker")


def test_a_gpu_is_asked_for_in_the_gpu_profile_alone() -> None:
    """`docker compose up` on a machine without a GPU would refuse to start."""
    with_devices = {
        name
        for name, service in OURS.items()
        if "devices" in str(service.get("deploy", {})) and service.get("profiles") != ["gpu"]
    }
    assert with_devices == set()
    assert OURS["worker-gpu"]["profiles"] == ["gpu"]


@pytest.mark.parametrize("name", OURS)
def test_each_service_starts_something_of_ours(name: str) -> None:
    """A renamed module would leave a container that restarts for ever."""
    stage = _stage(OURS[name]["build"]["target"])
    default = " ".join(re.findall(r"^CMD (\[.*\])", stage.replace("\\\n", ""), re.MULTILINE))
    command = " ".join(OURS[name].get("command", [])) or default
    modules = re.findall(r"\b(?:worker|api|serve|db)\.[a-z_]+", command)
    assert modules
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("name", OURS)
def test_each_variable_is_read(name: str) -> None:
    """A misspelt variable is ignored in silence and the service runs on SQLite."""
    known = {f"REGRAFT_{field.upper()}" for field in Settings.model_fields} | _NOT_OURS
    known |= {f"REGRAFT_WEBHOOK_{field.upper()}" for field in WebhookSettings.model_fields}
    known |= {f"REGRAFT_API_{field.upper()}" for field in ApiSettings.model_fields}
    known |= {f"REGRAFT_SERVE_{field.upper()}" for field in Serving.model_fields}
    assert set(OURS[name]["environment"]) <= known
