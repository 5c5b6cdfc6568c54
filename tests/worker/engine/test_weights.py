"""Only the published weights are ever used, wherever they lie."""

import functools
import hashlib
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from tests.worker.engine.random_backbone import random_record
from worker.engine import weights
from worker.engine.backbone import Backbone, of_record, prepared
from worker.engine.download import fetch, url_of
from worker.engine.failures import EngineError

RECORD = BACKBONES["efficientnet_lite0"]


def _published() -> dict[str, torch.Tensor]:
    state = weights.load(RECORD, weights.locate(RECORD, None))
    return {name: tensor.contiguous() for name, tensor in state.items()}


def test_the_package_holds_the_published_file() -> None:
    """The default backbone would need a download."""
    path = weights.locate(RECORD, None)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == RECORD.weights_fingerprint


def test_another_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    """A tampered or half-copied weight file would train quietly."""
    path = tmp_path / "efficientnet_lite0.pth"
    path.write_bytes(b"not the weights")
    found = hashlib.sha256(b"not the weights").hexdigest()
    with pytest.raises(EngineError) as caught:
        prepared("efficientnet_lite0", tmp_path)
    assert caught.value.code is ErrorCode.WEIGHTS_MISSING
    for words in (str(path), found, RECORD.weights_fingerprint):
        assert words in caught.value.message


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    """An administrator would not know what to install where."""
    record = RECORD._replace(
        weights_package="no-such-package", name="elsewhere", weights_file="elsewhere-1.pth"
    )
    with pytest.raises(EngineError, match=r"elsewhere\.pth") as caught:
        weights.locate(record, tmp_path)
    assert caught.value.code is ErrorCode.WEIGHTS_MISSING
    assert RECORD.weights_fingerprint in caught.value.message
    assert "Install the package no-such-package" in caught.value.message
    with pytest.raises(EngineError, match=r"looked for elsewhere-1\.pth") as caught:
        weights.locate(record, None)
    assert RECORD.weights_fingerprint in caught.value.message


def test_a_conversion_with_the_same_tensors_is_the_same_backbone(
    tmp_path: Path, backbone: Backbone
) -> None:
    """An installation that keeps safetensors only could not run."""
    save_file(_published(), tmp_path / "efficientnet_lite0.safetensors")
    converted = prepared("efficientnet_lite0", tmp_path)
    ours, theirs = backbone.module.state_dict(), converted.module.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_conversion_with_one_other_number_is_refused(tmp_path: Path) -> None:
    """A file without a published hash would be trusted blindly."""
    state = _published()
    state["_bn0.bias"] = state["_bn0.bias"] + 1e-6
    save_file(state, tmp_path / "efficientnet_lite0.safetensors")
    with pytest.raises(EngineError, match="sha256") as caught:
        prepared("efficientnet_lite0", tmp_path)
    assert caught.value.code is ErrorCode.WEIGHTS_MISSING


@pytest.mark.parametrize("fault", ["missing", "extra", "misshapen", "garbage"])
def test_weights_load_strictly(fault: str, tmp_path: Path) -> None:
    """A layer would silently keep its random start."""
    state = _published()
    path = tmp_path / "efficientnet_lite0.safetensors"
    if fault == "missing":
        del state["_conv_head.weight"]
    if fault == "extra":
        state["_blocks.15._expand_conv.bias"] = torch.zeros(3)
    if fault == "misshapen":
        state["_bn0.bias"] = torch.zeros(3)
    save_file(state, path)
    if fault == "garbage":
        path.write_bytes(b"\x00" * 64)
    with pytest.raises(EngineError) as caught:
        prepared("efficientnet_lite0", tmp_path)
    assert caught.value.code is ErrorCode.WEIGHTS_MISSING


@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
def test_every_packaged_backbone_is_the_published_one(name: str) -> None:
    """A larger backbone would be offered, and not start."""
    found = prepared(name, None)
    weights.check_tensors(found.record, Path("memory"), found.module.state_dict())
    size = found.record.input_size
    with torch.inference_mode():
        assert found.module(torch.zeros(1, 3, size, size)).shape == (1, 1280)


def test_weights_of_a_directory_are_used_by_torch_hubs_name(tmp_path: Path) -> None:
    """An installation without network could not use torchvision's backbones."""
    record = random_record("resnet18", tmp_path)
    (tmp_path / "resnet18.pth").rename(tmp_path / record.weights_file)
    found = of_record(record, tmp_path)
    with torch.inference_mode():
        assert found.module(torch.zeros(1, 3, 64, 64)).shape == (1, 512)
    with pytest.raises(EngineError, match="sha256"):
        of_record(BACKBONES["resnet18"], tmp_path)


def test_the_digits_in_a_weight_files_name_are_its_publishers(tmp_path: Path) -> None:
    """A typing error in a record would refuse the right file for ever."""
    for record in BACKBONES.values():
        assert record.weights_fingerprint[:8] in record.weights_file
        if record.weights_name is not None:
            assert url_of(record).rsplit("/", 1)[1] == record.weights_file


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on this host, and the folder it serves."""
    folder = tmp_path / "published"
    folder.mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


def test_a_download_appears_whole_and_checked_or_not_at_all(
    publisher: tuple[str, Path], tmp_path: Path
) -> None:
    """Half a file, or another's, would be taken for the weights ever after."""
    address, folder = publisher
    record = random_record("mobilenet_v3_small", folder)
    kept = tmp_path / "kept" / record.weights_file
    name = "mobilenet_v3_small.pth"
    assert "404" in str(fetch(record, kept, f"{address}/none.pth"))
    other = record._replace(weights_fingerprint="0" * 8)
    assert "another sha256" in str(fetch(other, kept, f"{address}/{name}"))
    assert list(kept.parent.iterdir()) == []
    assert fetch(record, kept, f"{address}/{name}") is None
    assert kept.read_bytes() == (folder / name).read_bytes()


def test_without_network_the_missing_file_its_hash_and_its_place_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator would not know which file to bring to the closed network."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(EngineError) as caught:
        prepared("vit_b_16", tmp_path)
    assert caught.value.code is ErrorCode.WEIGHTS_MISSING
    for words in ("vit_b_16-c867db91.pth", "sha256 of c867db91", str(tmp_path), "download"):
        assert words in caught.value.message
