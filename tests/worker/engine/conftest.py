"""What the engine's tests share: the samples, one backbone, one export, one trained run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
import torch

from tests.worker.engine.recorder import Recorder
from worker.engine.backbone import Backbone, prepared
from worker.engine.data import Image, load
from worker.engine.export.segments import compose
from worker.engine.export.shared import shared_parts
from worker.engine.features import Features
from worker.engine.inputs import extractor
from worker.engine.runner import Result, run
from worker.engine.runspec import DataSource, RunSpec

SAMPLES = Path(__file__).parents[3] / "samples" / "fashion-mnist"
DATASET = "ds_01k00000000000000000000000"
TEST_DATASET = "ds_01k00000000000000000000001"


class MakeSpec(Protocol):
    """Makes a run spec with a workspace of its own; `spec` overrides fields of the job's."""

    def __call__(self, workspace: Path, data: Path, test: Path | None, **spec: Any) -> RunSpec: ...


class TrainedRun(NamedTuple):
    """The one run that many tests look at, and its files composed in `folder`."""

    spec: RunSpec
    result: Result
    recorder: Recorder
    folder: Path


@pytest.fixture(scope="session", autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Hundreds of small steps wait for each other's threads where the machine is shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tenant's feature cache."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What depends on public weights only: the backbone is exported into it once."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def backbone() -> Backbone:
    """EfficientNet-Lite0 with its real weights."""
    return prepared("efficientnet_lite0", None)


@pytest.fixture(scope="session")
def exported(backbone: Backbone, trained: TrainedRun) -> Path:
    """The graph that the trained run has exported of the backbone."""
    graph = shared_parts(backbone, trained.spec.shared_cache, True, print).graph
    assert graph is not None
    return graph


def _maker(cache: Path, shared_cache: Path) -> MakeSpec:
    def make(workspace: Path, data: Path, test: Path | None, **spec: Any) -> RunSpec:
        job = {"dataset": DATASET, "test_dataset": TEST_DATASET if test else None, **spec}
        return RunSpec(
            run="run",
            spec=job,
            data=DataSource(folder=data),
            test_data=DataSource(folder=test) if test else None,
            workspace=workspace,
            cache=cache,
            shared_cache=shared_cache,
        )

    return make


@pytest.fixture(scope="session")
def make_spec(engine_cache: Path, shared_cache: Path, trained: TrainedRun) -> MakeSpec:
    """Makes run specs on the shared caches, which the trained run has filled."""
    assert trained.spec.cache == engine_cache
    return _maker(engine_cache, shared_cache)


@pytest.fixture(scope="session")
def trained(
    engine_cache: Path, shared_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> TrainedRun:
    """A whole run on the samples with the comparison: the first on its caches."""
    workspace = tmp_path_factory.mktemp("trained")
    spec = _maker(engine_cache, shared_cache)(
        workspace, SAMPLES / "target", SAMPLES / "target-test", comparisons=["from_scratch"]
    )
    recorder = Recorder()
    result = run(spec, recorder)
    compose(result.produced, workspace / "model")
    return TrainedRun(spec, result, recorder, workspace / "model")


@pytest.fixture(scope="session")
def images(trained: TrainedRun) -> list[Image]:
    """The sample's target images."""
    return load(trained.spec.data)


@pytest.fixture(scope="session")
def features(trained: TrainedRun, backbone: Backbone, images: list[Image]) -> Features:
    """The features of `images`, from the cache that the trained run filled."""
    return extractor(trained.spec, backbone, Recorder()).extract(images)
