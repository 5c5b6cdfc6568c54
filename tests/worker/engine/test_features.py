"""Each image passes the backbone once, ever."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.worker.engine.conftest import TrainedRun
from tests.worker.engine.recorder import Recorder
from worker.engine.backbone import Backbone
from worker.engine.context import RunCancelledError
from worker.engine.data import Image
from worker.engine.feature_cache import FeatureCache
from worker.engine.features import Extractor, Features, cache_of


class _CancelsLate(Recorder):
    """Wishes to cancel once images have been computed."""

    def should_cancel(self) -> bool:
        return "features" in {phase for phase, _ in self.steps}


def test_a_second_job_computes_only_what_is_new(
    tmp_path: Path, backbone: Backbone, images: list[Image]
) -> None:
    """Each new version of a dataset would cost its whole forward pass again."""
    cache = cache_of(backbone, tmp_path)
    first = Extractor(backbone, cache, 8, Recorder()).extract(images[:12])
    again = Extractor(backbone, cache, 8, Recorder()).extract(images[4:20])
    assert (first.computed, again.computed) == (12, 8)
    third = Extractor(backbone, cache, 8, Recorder()).extract(images[:20])
    assert third.computed == 0
    assert torch.equal(third.of(images[:12]), first.of(images[:12]))
    assert torch.equal(third.of(images[4:20]), again.of(images[4:20]))
    assert third.seconds == pytest.approx(first.seconds + again.seconds, rel=0.5)


def test_a_cancelled_job_leaves_what_it_computed(
    tmp_path: Path, backbone: Backbone, images: list[Image]
) -> None:
    """A cancel and a new submission would start from nothing."""
    cache = cache_of(backbone, tmp_path)
    with pytest.raises(RunCancelledError):
        Extractor(backbone, cache, 8, _CancelsLate()).extract(images)
    assert len(cache.find(image.sha256 for image in images).rows) == 8


def test_a_damaged_pack_is_computed_anew_and_said(
    tmp_path: Path, backbone: Backbone, images: list[Image]
) -> None:
    """A job would fail for a bad block on the cache's disk, or train on it."""
    cache = cache_of(backbone, tmp_path)
    first = Extractor(backbone, cache, 8, Recorder()).extract(images[:8])
    (pack,) = cache.folder.iterdir()
    pack.write_bytes(pack.read_bytes()[:-1] + b"\x7f")
    recorder = Recorder()
    second = Extractor(backbone, cache, 8, recorder).extract(images[:8])
    assert recorder.said("damaged")
    assert second.computed == 8
    assert torch.equal(second.of(images[:8]), first.of(images[:8]))


def test_no_image_at_all_gives_no_row(
    tmp_path: Path, backbone: Backbone, features: Features
) -> None:
    """A job without a held-out image would fail at the end."""
    assert features.of([]).shape == (0, 1280)
    nothing = Extractor(backbone, cache_of(backbone, tmp_path), 8, Recorder()).extract([])
    assert nothing.rows == {}


def test_progress_counts_images(trained: TrainedRun) -> None:
    """The bar would stand still during the longest phase."""
    counts = [count for count in trained.recorder.counts if count[1] == 220 and count[0]]
    assert counts[-1] == (220, 220)
    assert len({done for done, _ in counts}) == len(counts) == 7
    assert min(trained.recorder.values["images_per_second"]) > 0


_TIGHT = """
import resource, sys
from pathlib import Path
import torch
from tests.worker.engine.recorder import Recorder
from worker.engine.backbone import prepared
from worker.engine.data import load
from worker.engine.features import Extractor, cache_of
from worker.engine.runspec import DataSource
from worker.engine.runtimes import Eager, Onnx

torch.set_num_threads(1)
images = load(DataSource(folder=Path(sys.argv[1])))
backbone, recorder = prepared("efficientnet_lite0", None), Recorder()
graph = sys.argv[3]
runtime = Onnx(1280, lambda: Path(graph)) if graph else Eager(backbone)
warm = cache_of(backbone, Path(sys.argv[2]) / "warm", runtime)
Extractor(backbone, warm, 1, Recorder(), runtime).extract(images[:2])
status = Path("/proc/self/status").read_text()
used = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmData"))
limit = (used + int(sys.argv[4]) * 1024) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
cache = cache_of(backbone, Path(sys.argv[2]), runtime)
found = Extractor(backbone, cache, 120, recorder, runtime).extract(images)
assert found.computed == 120, found.computed
print([data["batch_size"] for _, _, data in recorder.events])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_DATA")
@pytest.mark.parametrize(
    ("runtime", "mib", "sizes"),
    [("eager", 450, [60]), ("onnxruntime", 450, []), ("onnxruntime", 110, [60, 30, 15, 7])],
)
def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    runtime: str, mib: int, sizes: list[int], tmp_path: Path, exported: Path
) -> None:
    """A job would fail on a small machine for a default it never chose.

    ONNX Runtime is given a few images at a time, and fits where torch does not.
    """
    samples = Path(__file__).parents[3] / "samples" / "fashion-mnist" / "target"
    graph = str(exported) if runtime == "onnxruntime" else ""
    done = subprocess.run(
        [sys.executable, "-c", _TIGHT, str(samples), str(tmp_path), graph, str(mib)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found[: len(sizes)] == sizes
    assert found == [120 // 2 ** (n + 1) for n in range(len(found))]
    assert sizes or not found


def test_another_numeric_profile_is_another_key(tmp_path: Path, backbone: Backbone) -> None:
    """Two runtimes' last digits would be mixed in one head."""
    record = backbone.record._replace(interpolation="bilinear")
    other = cache_of(backbone._replace(record=record), tmp_path)
    assert isinstance(other, FeatureCache)
    assert other.folder != cache_of(backbone, tmp_path).folder
