"""A host's caches stay below their budget, and no run loses what it reads."""

import fcntl
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.settings import Settings
from db.session import Database
from tests.support.jobs import submit, wait_for
from tests.support.merchants import Merchant
from tests.worker.conftest import opened
from worker.local_cache import hold, trim
from worker.places import Places
from worker.supervisor.supervise import supervise

KIB = 1024
_HOLDER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from worker.local_cache import hold
    assert hold(Path(sys.argv[1])) is not None
    print("held", flush=True)
    time.sleep(60)
    """
)


def _pack(cache: Path, tenant: str, name: str, age: float, size: int = KIB) -> Path:
    """Write a dataset's pack that was last used `age` seconds ago."""
    folder = cache / tenant / "packs" / name
    folder.mkdir(parents=True)
    (folder / "images.pack").write_bytes(bytes(size - 100))
    (folder / "images.json").write_bytes(bytes(100))
    return _used(folder, age)


def _file(cache: Path, tenant: str, place: str, age: float, size: int = KIB) -> Path:
    path = cache / tenant / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return _used(path, age)


def _used(path: Path, age: float) -> Path:
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_the_least_recently_used_goes_first_of_whatever_kind(tmp_path: Path) -> None:
    """A full disk would fail every job, or the cache forget what the next job needs."""
    oldest = _pack(tmp_path, "acme", "ds_1", age=50)
    old = _file(tmp_path, "zenith", "features/key/a.safetensors", age=40)
    model = _file(tmp_path, "acme", "models/m.safetensors", age=30)
    new = _file(tmp_path, "acme", "features/key/b.safetensors", age=20)
    assert trim(tmp_path, 4 * KIB) == (0, 4 * KIB)
    assert trim(tmp_path, 2 * KIB) == (2, 2 * KIB)
    assert not oldest.exists()
    assert not old.exists()
    assert model.is_file()
    assert new.is_file()


def test_what_all_tenants_share_stays(tmp_path: Path) -> None:
    """Each job would export its backbone anew, in twenty seconds."""
    graph = _file(tmp_path, "shared", "backbones/key/backbone.onnx", age=90)
    assert trim(tmp_path, 0) == (0, 0)
    assert graph.is_file()


def test_using_an_entry_keeps_it_longer(tmp_path: Path) -> None:
    """The one dataset that every job needs would be the first to go."""
    first = _pack(tmp_path, "acme", "ds_1", age=50)
    second = _pack(tmp_path, "acme", "ds_2", age=40)
    opened = hold(first)
    assert opened is not None
    os.close(opened)
    trim(tmp_path, KIB)
    assert first.is_dir()
    assert not second.exists()


def test_what_another_process_holds_stays_until_it_dies(tmp_path: Path) -> None:
    """A neighbour's training would find its images gone in the middle of an epoch."""
    held = _pack(tmp_path, "acme", "ds_1", age=50)
    command = [sys.executable, "-c", _HOLDER, str(held)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert trim(tmp_path, 0) == (0, KIB)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert trim(tmp_path, 0) == (1, 0)
    finally:
        process.kill()
        process.communicate()


def test_what_was_trimmed_cannot_be_held(tmp_path: Path) -> None:
    """A run would rely on a pack that is being deleted."""
    pack = _pack(tmp_path, "acme", "ds_1", age=50)
    trim(tmp_path, 0)
    assert hold(pack) is None


def test_half_written_files_go_once_nobody_can_be_writing_them(tmp_path: Path) -> None:
    """Each killed worker would leave bytes for ever; or a slow one lose what it writes."""
    left = _file(tmp_path, "acme", "features/key/.a.safetensors.7.tmp", age=2 * 3600)
    folder = _pack(tmp_path, "acme", ".ds_1.x", age=2 * 3600)
    young = _file(tmp_path, "acme", "models/.m.safetensors.y", age=60)
    assert trim(tmp_path, 10 * KIB).taken == 2
    assert not left.exists()
    assert not folder.exists()
    assert trim(tmp_path, 0).taken == 0
    assert young.is_file()


def test_one_process_trims_at_a_time(tmp_path: Path) -> None:
    """Two would both count the same bytes, and delete twice as much as they should."""
    _pack(tmp_path, "acme", "ds_1", age=50)
    opened = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    assert trim(tmp_path, 0).taken == 0
    os.close(opened)
    assert trim(tmp_path, 0).taken == 1


@given(sizes=st.lists(st.integers(1, 4 * KIB), max_size=12), budget=st.integers(0, 16 * KIB))
def test_what_is_left_fits_and_nothing_goes_in_vain(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], budget: int
) -> None:
    """The cache would outgrow its disk, or be emptied where there was room."""
    cache = tmp_path_factory.mktemp("cache")
    paths = [
        _file(cache, "acme", f"models/{number}", age=1000 - number, size=size)
        for number, size in enumerate(sizes)
    ]
    done = trim(cache, budget)
    left = [path for path in paths if path.exists()]
    assert done == (len(paths) - len(left), sum(path.stat().st_size for path in left))
    assert done.left <= budget
    assert left == paths[done.taken :]
    if done.taken:
        assert done.left + sizes[done.taken - 1] > budget


def test_a_host_looks_at_most_once_a_minute(tmp_path: Path) -> None:
    """A host of small jobs would read its whole cache after each, or never trim it."""
    places, others = Places(tmp_path), Places(tmp_path)
    cache = tmp_path / "cache"
    _pack(cache, "acme", "ds_1", age=500)
    assert places.trim_if_due(0) is None
    places.note_growth()
    assert others.trim_if_due(0) == (1, 0)
    _pack(cache, "acme", "ds_2", age=50)
    places.note_growth()
    assert places.trim_if_due(0) is others.trim_if_due(0) is None
    _used(cache / ".trimmed", 59)
    assert others.trim_if_due(0) is None
    _used(cache / ".trimmed", 61)
    assert others.trim_if_due(0) == (1, 0)
    _used(cache / ".grown", 100)
    _used(cache / ".trimmed", 61)
    assert others.trim_if_due(0) is None


def test_a_station_keeps_to_its_budget(
    light: Settings, database: Database, acme: Merchant, dataset: str
) -> None:
    """The setting would be read by nobody, or the last training's packs stay for ever."""
    with opened(light.model_copy(update={"cache_bytes": KIB})) as station:
        old = _pack(station.places.cache("x").parent, "acme", "ds_old", age=50)
        supervise(station, submit(database, acme.tenant_id, dataset))
        wait_for(lambda: not old.exists())
