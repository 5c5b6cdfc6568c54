"""The bytes of 1,000 models on one frozen backbone: all their default files, as they are stored.

Each has a head of its own; `--more` is their number. Prints one JSON line.
"""

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.speed import networks
from benchmarks.speed.case import Options, main
from benchmarks.speed.images import NUM_CLASSES
from regraft.contract.metrics import JobMetrics, Transfer
from worker.engine.adapted import Adapted
from worker.engine.context import Context
from worker.engine.export.model import Document, Trained, model_files
from worker.engine.export.segments import Blobs
from worker.engine.export.shared import shared_parts
from worker.engine.head import Head
from worker.engine.tuned import TunedFeatures

_DOCUMENT_BYTES = 51_000  # card, report, drift reference, and what 200 held-out images were called


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield the bytes stored for the models, and those of as many full copies."""
    backbone = networks.backbone(options.backbone, options.weights)
    parts = shared_parts(backbone, options.shared, True, Context().event)
    features = TunedFeatures(backbone, Context())
    width = backbone.record.num_features
    chance = torch.Generator().manual_seed(0)
    labels = [f"class {number}" for number in range(NUM_CLASSES)]
    own = copies = 0
    shared: dict[str, int] = {}
    for number in range(int(options.more)):
        weight = torch.randn(NUM_CLASSES, width, generator=chance)
        head = Head(weight, torch.randn(NUM_CLASSES, generator=chance), None)
        model = Adapted(backbone, head, features, is_frozen=True)
        trained = Trained(model, labels, JobMetrics(), Transfer(explanation=""))
        blobs = Blobs(options.work / f"model{number}")
        report = bytes(torch.randint(0, 256, (_DOCUMENT_BYTES,), generator=chance).tolist())
        files = model_files(trained, parts, blobs, [Document("report.html", report)])
        own += sum(one.size for one in blobs.refs() if not one.shared)
        shared |= {one.sha256: one.size for one in blobs.refs() if one.shared}
        copies += sum(file.size for file in files)
    stored = own + sum(shared.values())
    yield {
        "models": int(options.more),
        "bytes_stored": stored,
        "bytes_of_full_copies": copies,
        "bytes_per_model": round(own / int(options.more)),
        "ratio": round(copies / stored, 1),
    }


if __name__ == "__main__":
    main(measure)
