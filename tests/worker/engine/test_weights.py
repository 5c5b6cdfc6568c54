"""Only the published weights are ever used, wherever they lie."""

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from regraft.contract.catalog import BACKBONES
from regraft.contract.errors import ErrorCode
from worker.engine import weights
from worker.engine.backbone import Backbone, prepared
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
    record = RECORD._replace(weights_package="no-such-package", name="elsewhere")
    with pytest.raises(EngineError, match=r"elsewhere\.pth") as caught:
        weights.locate(record, tmp_path)
    assert caught.value.code is ErrorCode.WEIGHTS_MISSING
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
