"""Scenes for the fault tests: one running service for each module and kind of database."""

import random
from collections.abc import Iterator

import pytest

from benchmarks.chaos.options import Options
from tests.support.scene import Scene, scene


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The service on SQLite."""
    home = tmp_path_factory.mktemp("scene") / "home"
    with scene(Options(home=home, workers=2)) as made:
        yield made


@pytest.fixture(scope="module")
def postgres_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The service on a PostgreSQL of its own, which may be killed."""
    home = tmp_path_factory.mktemp("scene") / "home"
    with scene(Options(home=home, workers=2, db="postgres")) as made:
        yield made


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Random draws that are the same for the same test and repeat."""
    return random.Random(request.node.name)
