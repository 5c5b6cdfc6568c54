"""A model's files as ranges of blobs: what the API concatenates is the file, byte for byte."""

import hashlib
import zlib
from pathlib import Path

from tests.worker.engine.conftest import TrainedRun
from worker.engine.export.segments import Blobs, Piece, compose, model_file, produced
from worker.engine.messages import BlobRef


def test_a_file_of_ranges_is_known_before_it_is_put_together(tmp_path: Path) -> None:
    """A download would not match its checksum."""
    public = tmp_path / "public"
    public.write_bytes(b"0123456789" * 300_000)
    blobs = Blobs(tmp_path / "blobs")
    shared, own = blobs.refer(public, shared=True), blobs.keep(b"own")
    file = model_file("x.bin", [own, Piece(shared.blob, 5, 2_000_000), Piece(own.blob, 1, 0)])
    content = b"own" + public.read_bytes()[5:2_000_005]
    assert (file.size, file.crc32) == (len(content), zlib.crc32(content))
    assert file.sha256 == hashlib.sha256(content).hexdigest()
    message = produced(blobs, [file])
    assert [part.length for part in message.files[0].segments] == [3, 2_000_000]
    compose(message, tmp_path / "model")
    assert (tmp_path / "model" / "x.bin").read_bytes() == content


def test_everything_a_run_names_is_there_and_is_what_it_says(trained: TrainedRun) -> None:
    """The supervisor would store broken models."""
    message = trained.result.produced
    refs: dict[tuple[str, bool], BlobRef] = {}
    for ref in message.blobs:
        content = ref.path.read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (ref.sha256, ref.size)
        refs[ref.sha256, ref.shared] = ref
    for file in message.files:
        content = (trained.folder / file.name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file.sha256, file.size)
        for part in file.segments:
            assert part.offset + part.length <= refs[part.sha256, part.shared].size
    names = [file.name for file in message.files]
    assert set(names) == {
        "model.onnx",
        "model.safetensors",
        "labels.json",
        "preprocess.json",
        "metrics.json",
        "predictions.json",
        "reference.safetensors",
        "head.safetensors",
        "README.md",
        "report.html",
        "predict.py",
        "bundle.zip",
    }


def test_a_model_costs_kilobytes_beside_the_shared_backbone(trained: TrainedRun) -> None:
    """Ten thousand merchants would cost ten thousand backbones."""
    refs = trained.result.produced.blobs
    assert sum(ref.size for ref in refs if not ref.shared) < 180_000
    assert sum(ref.size for ref in refs if ref.shared) > 25_000_000
    assert all(ref.path.is_relative_to(trained.spec.workspace) for ref in refs if not ref.shared)
