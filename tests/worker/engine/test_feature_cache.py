"""What was computed once is found again, whole or not at all."""

from pathlib import Path

import pytest
import torch

from worker.engine.feature_cache import FeatureCache

LOOKS = torch.arange(4 * 768).reshape(4, 768).to(torch.uint8)
KEY = {"weights": "abc", "cut": "features"}


def _filled(root: Path) -> tuple[FeatureCache, torch.Tensor, Path]:
    cache = FeatureCache(root, KEY)
    features = torch.randn(4, 8).half()
    return cache, features, cache.add(["a", "b", "c", "d"], features, LOOKS, 2.0)


def test_rows_come_back_as_they_went_in(tmp_path: Path) -> None:
    """A cached job would give other numbers than a fresh one."""
    cache, features, _ = _filled(tmp_path)
    found = cache.find(["d", "b", "unknown"])
    assert set(found.rows) == {"b", "d"}
    assert torch.equal(found.rows["d"], features[3])
    assert torch.equal(found.rows["b"], features[1])
    assert torch.equal(found.looks["b"], LOOKS[1])
    assert found.seconds == pytest.approx(1.0)


@pytest.mark.parametrize("part", ["front", "metadata", "values", "cut off", "empty"])
def test_a_damaged_pack_is_dropped(part: str, tmp_path: Path) -> None:
    """A flipped bit on disk would train a model on noise."""
    cache, _, path = _filled(tmp_path)
    content = bytearray(path.read_bytes())
    place = {"front": 4, "metadata": content.index(b'"images"') + 15, "values": -3}.get(part)
    if place is not None:
        content[place] ^= 0x41
    path.write_bytes({"cut off": content[:-5], "empty": bytearray()}.get(part, content))
    found = cache.find(["a"])
    assert (found.rows, found.dropped) == ({}, [path.name])
    assert not path.exists()
    assert cache.find(["a"]).dropped == []


def test_another_key_sees_nothing(tmp_path: Path) -> None:
    """Features of other weights or other preprocessing would be mixed in."""
    cache, _, path = _filled(tmp_path)
    other = FeatureCache(tmp_path, {**KEY, "weights": "abd"})
    assert other.find(["a"]).rows == {}
    stray = other.folder / path.name
    stray.parent.mkdir()
    stray.write_bytes(path.read_bytes())
    assert other.find(["a"]).dropped == [path.name]
    assert set(cache.find(["a"]).rows) == {"a"}


def test_no_half_written_pack_is_left(tmp_path: Path) -> None:
    """A killed run's leftovers would fill the cache."""
    cache, _, path = _filled(tmp_path)
    assert list(cache.folder.iterdir()) == [path]
