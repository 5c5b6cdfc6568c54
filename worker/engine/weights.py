"""Find a backbone's published weights, and prove that they are the right ones.

What was published under other names than the library's is renamed.

May import torch, safetensors and the contract.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch
from safetensors.torch import load_file

from regraft.contract.catalog import BackboneRecord
from regraft.contract.errors import ErrorCode
from worker.engine import download
from worker.engine.failures import EngineError
from worker.engine.files import file_hash

_WHOLE = 64  # digits of a sha256
State = dict[str, torch.Tensor]

# The hash of `tensor_bytes` of the published weights without their classifier: it proves a
# .safetensors conversion, whose file has no published hash.
TENSOR_HASHES = {
    "efficientnet_lite0": "81a026b51c1a265fcce1286ae1c295f32840c34d8ca00a1689b8e2971f70d8ed",
    "efficientnet_lite1": "53d0d67b6dba33bc14bf2505cc74ca5a8d7af7ef712686baf0be11d6e7694de8",
    "efficientnet_lite2": "bcd51560a9cb5580ecc8c9e4f5dd27a1b79f7118a8d3726c7c0fc9b3b47c795a",
}

_TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FIRST_STAGE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def locate(record: BackboneRecord, weights_dir: Path | None) -> Path:
    """Return the file that holds the weights: from `weights_dir`, the package, or torch's cache.

    What is in none of them is downloaded from where torchvision publishes it, if it does.

    Raises:
        EngineError: WEIGHTS_MISSING, naming the file, its hash, and every place it may lie in.
    """
    places = list(_places(record, weights_dir))
    for place in places:
        if place.is_file():
            return place
    if record.weights_name is not None:
        kept = places[-1] if weights_dir is None else weights_dir / record.weights_file
        fault = download.fetch(record, kept)
        if fault is None:
            return kept
        advice = (
            f"It could not be downloaded: {fault}. Put {record.weights_file} into {kept.parent}"
        )
    else:
        advice = f"Install the package {record.weights_package}"
    looked = ", ".join(str(place) for place in places)
    raise EngineError(
        ErrorCode.WEIGHTS_MISSING,
        f"No weights for {record.name}: looked for {looked or record.weights_file}. {advice}; "
        f"the file must have a sha256 of {record.weights_fingerprint}"
        f"{'' if len(record.weights_fingerprint) == _WHOLE else '...'}.",
    )


def _places(record: BackboneRecord, weights_dir: Path | None) -> Iterator[Path]:
    if weights_dir is not None:
        stem = record.weights_file.removesuffix(".pth")
        for name in (record.name, stem):
            if record.name in TENSOR_HASHES:
                yield weights_dir / f"{name}.safetensors"
            yield weights_dir / f"{name}.pth"
    if record.weights_package is not None:
        packaged = _packaged(record.weights_package)
        if packaged is not None:
            yield packaged
    else:
        yield Path(torch.hub.get_dir()) / "checkpoints" / record.weights_file


def _packaged(package: str) -> Path | None:
    """Return the weight file inside the installed package, without importing the package."""
    try:
        listed = files(package) or []
    except PackageNotFoundError:
        return None
    found = [Path(str(entry.locate())) for entry in listed if entry.name.endswith(".pth")]
    return found[0] if found else None


def load(record: BackboneRecord, path: Path) -> State:
    """Return the tensors in `path` under their published names, once their hash has been checked.

    A .pth must be the published file. A .safetensors must hold the published tensors, checked
    by `check_tensors` after they have been renamed.

    Raises:
        EngineError: WEIGHTS_MISSING with both hashes.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    _same_hash(path, file_hash(path), record.weights_fingerprint)
    state: State = torch.load(path, map_location="cpu", weights_only=True)
    return state


def check_tensors(record: BackboneRecord, path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Raise WEIGHTS_MISSING unless `state`, without classifier, is the published one."""
    _same_hash(path, hash_of(state), TENSOR_HASHES[record.name])


def hash_of(state: Mapping[str, torch.Tensor]) -> str:
    """Return the hash of the tensors' bytes in the order of storage."""
    digest = hashlib.sha256()
    for name in ordered_names(state):
        digest.update(tensor_bytes(state[name]))
    return digest.hexdigest()


def _same_hash(path: Path, found: str, expected: str) -> None:
    if not found.startswith(expected):
        raise EngineError(
            ErrorCode.WEIGHTS_MISSING,
            f"{path} is not the published weight file: its sha256 is {found}, not {expected}.",
        )


def ordered_names(state: Mapping[str, torch.Tensor]) -> list[str]:
    """Return the names in the order of storage: widest type first so that all stay aligned."""
    return sorted(state, key=lambda name: (-state[name].element_size(), name))


def tensor_bytes(tensor: torch.Tensor) -> bytes:
    """Return the tensor's values, row-major and little-endian."""
    array = tensor.detach().cpu().contiguous().numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def renamed(state: State, timm_names: Iterable[str]) -> State:
    """Return `state` under timm's names; block n is the n-th (stage, index) pair of timm's.

    Names that are timm's already stay, so both conversions are accepted.
    """
    if not any(name.startswith("_") for name in state):
        return state
    places = sorted(
        {
            (int(stage), int(index))
            for name in timm_names
            if name.startswith("blocks.")
            for stage, index in [name.split(".")[1:3]]
        }
    )
    return {_renamed_one(name, places): tensor for name, tensor in state.items()}


def _renamed_one(name: str, places: list[tuple[int, int]]) -> str:
    if not name.startswith("_blocks."):
        module, _, rest = name.partition(".")
        return f"{_TOP[module]}.{rest}"
    _, number, module, rest = name.split(".", 3)
    stage, index = places[int(number)]
    names = _FIRST_STAGE if stage == 0 else _OTHER_STAGES
    return f"blocks.{stage}.{index}.{names[module]}.{rest}"
