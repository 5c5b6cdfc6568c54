"""What a model came from, enough to make it again; what must agree for a run to be resumed.

May import torch, the contract and the engine's own modules.
"""

import hashlib
from collections.abc import Iterable

from regraft.contract.job import FromModel
from worker.engine.backbone import Backbone
from worker.engine.data import Image
from worker.engine.inputs import Inputs
from worker.engine.runspec import RunSpec


def identity(spec: RunSpec, backbone: Backbone, given: Inputs) -> dict[str, object]:
    """Return all that decides a training's bits; `backbone` is the one it starts from."""
    return {
        "spec": spec.spec.model_dump(mode="json"),
        "weights": backbone.fingerprint,
        "numeric_profile": given.features.profile,
        **_image_sets(given),
    }


def lineage(
    spec: RunSpec, backbone: Backbone, given: Inputs, adapted: Backbone, strategy: str
) -> dict[str, object]:
    """Return the facts that are kept with the model; `backbone` is the one training started from.

    `adapted` is what the strategy was given: the same, or one that was trained on the source.
    `strategy` made what is delivered, which the guard may have decided otherwise than was asked.
    Fields of a source, unlabelled images and a base model are there where the job has them.
    """
    job = spec.spec
    facts: dict[str, object] = {
        "dataset": job.dataset,
        "backbone": backbone.record.name,
        "weights_fingerprint": backbone.fingerprint,
        "strategy": strategy,
        "strategy_asked": job.strategy.type,
        "seed": job.seed,
        "features_key": given.features.key,
        "numeric_profile": given.features.profile,
        "num_train": len(given.parts.train),
        "num_validation": len(given.parts.validation),
        "num_test": len(given.parts.test),
        **_image_sets(given),
    }
    if isinstance(job.base, FromModel):
        facts["base_model"] = job.base.model
    if given.source is not None:
        facts |= {"source_dataset": job.source_dataset, "num_source": len(given.source.images)}
    if adapted.fingerprint != backbone.fingerprint:
        facts["source_trained_fingerprint"] = adapted.fingerprint
    if given.unlabelled:
        facts |= {
            "unlabelled_dataset": job.unlabelled_dataset,
            "num_unlabelled": len(given.unlabelled),
        }
    return facts


def origin(spec: RunSpec, given: Inputs) -> str:
    """Say what besides the dataset the model rests on, and what its baseline does; or nothing."""
    sentences = []
    if isinstance(spec.spec.base, FromModel):
        sentences.append(
            f"Training started from the backbone of the model {spec.spec.base.model}, and the "
            "baseline is a linear head on that backbone."
        )
    source = given.source
    if source is not None and not spec.spec.strategy.uses_source:
        sentences.append(
            f"The backbone was first trained on {len(source.images)} images of "
            f"{len(source.names)} classes of the source; the baseline does without them."
        )
    return "".join(f"{sentence} " for sentence in sentences)


def _image_sets(given: Inputs) -> dict[str, object]:
    """Return a hash of the images, with their labels, of each set that is learned from."""
    sets = {"training_set_sha256": _hash(given.parts.train)}
    if given.source is not None:
        sets["source_set_sha256"] = _hash(given.source.images)
    if given.unlabelled:
        sets["unlabelled_set_sha256"] = _hash(given.unlabelled)
    return {**sets}


def _hash(images: Iterable[Image]) -> str:
    rows = sorted(f"{image.sha256} {image.label}" for image in images)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
