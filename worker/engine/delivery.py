"""Make the files of a trained model and prove that they answer as it does.

May import torch, the contract and the engine's own modules.
"""

import shutil
from collections.abc import Sequence

from regraft.contract import held_out
from worker.engine.context import Context, Recorded
from worker.engine.data import Image
from worker.engine.documents.card import card
from worker.engine.documents.facts import Facts
from worker.engine.documents.report import report
from worker.engine.export import parity
from worker.engine.export.model import Document, Trained, model_files
from worker.engine.export.segments import Blobs, ModelFile, produced
from worker.engine.export.shared import own_parts, shared_parts
from worker.engine.held_out import predictions
from worker.engine.inputs import Inputs
from worker.engine.messages import Produced
from worker.engine.preprocess import settings_of
from worker.engine.reference import reference_of
from worker.engine.runspec import RunSpec


def deliver(
    spec: RunSpec,
    trained: Trained,
    given: Inputs,
    context: Recorded,
    *,
    proven: Sequence[Image] = (),
    learned: Sequence[Image] = (),
) -> Produced:
    """Make the model's files and prove them: on `proven`, or else on the held-out images.

    `learned` are images beside `given`'s that a model before this one was trained on.
    """
    context.progress("exporting", 0.90)
    with_graph = "onnx" in spec.spec.exports
    backbone = trained.model.backbone
    if trained.model.is_frozen and backbone.own_weights is None:
        parts = shared_parts(backbone, spec.shared_cache, with_graph, context.event)
    else:
        parts = own_parts(backbone, spec.workspace / "backbone", with_graph)
    blobs = Blobs(spec.workspace / "blobs")
    documents = _documents(spec, trained, given, learned, context)
    with_program = "torch_export" in spec.spec.exports
    files = model_files(trained, parts, blobs, documents, with_program=with_program)
    context.check()
    if spec.spec.exports:
        context.progress("exporting", 0.95)
        images = proven or given.parts.validation or given.parts.train
        _prove(spec, files, trained, images, context)
    return produced(blobs, files)


def _documents(
    spec: RunSpec,
    trained: Trained,
    given: Inputs,
    learned: Sequence[Image],
    context: Recorded,
) -> list[Document]:
    said = predictions(trained.model, given)
    facts = Facts(spec, trained, given, said, context.reported())
    return [
        Document(held_out.FILE_NAME, said.model_dump_json(indent=1).encode() + b"\n"),
        *reference_of(trained, given, learned),
        Document("README.md", card(facts)),
        Document("report.html", report(facts)),
    ]


def _prove(
    spec: RunSpec,
    files: list[ModelFile],
    trained: Trained,
    images: Sequence[Image],
    context: Context,
) -> None:
    model, folder = trained.model, spec.workspace / "proof"
    step = max(1, len(images) // parity.MAX_PHOTOS)
    chosen = images[::step][: parity.MAX_PHOTOS]
    shipped = model.head.calibrated()
    expected = shipped.logits(model.features.of(chosen)).softmax(dim=1)
    if "onnx" in spec.spec.exports:
        head = parity.check_head(model.head, model.features.of(images))
        photos = parity.check_photos(files, folder, chosen, expected)
        context.metrics(0, parity_head=head, parity_photos=photos)
    if "torch_export" in spec.spec.exports:
        settings = settings_of(model.backbone.record)
        found = parity.check_program(files, folder, chosen, settings, expected)
        context.metrics(0, parity_program=found)
    shutil.rmtree(folder)
