"""A backbone of random weights, for tests alone: it enters as any other, through a weight file.

Small pictures make it quick; the record's fingerprint is that of the file that was written.
"""

from pathlib import Path

import torch

from regraft.contract.catalog import BACKBONES, BackboneRecord
from worker.engine import backbone as backbones
from worker.engine.files import file_hash


def random_record(name: str, folder: Path, size: int = 64) -> BackboneRecord:
    """Write random weights of an architecture into `folder`, and return their record."""
    record = BACKBONES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = backbones._architecture(record)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pth"
    torch.save(module.state_dict(), path)
    return record._replace(
        weights_fingerprint=file_hash(path), input_size=size, resize=size + size // 8
    )
