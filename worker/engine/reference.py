"""What photos like the training images look like to a model, as a few numbers: for drift.

A random projection of the features (Lopes, Jacob and Wainwright 2011: with Hotelling's test it
keeps power where features outnumber images), each class's mean in it, and the spread within
classes. No image can be had back from it. May import torch, numpy, the contract and the engine's
own modules.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor

from regraft.contract.drift import REFERENCE_FILE
from worker.engine.data import Image
from worker.engine.export.model import Document, Trained
from worker.engine.inputs import Inputs
from worker.engine.tensorfile import Entry, header

DIMENSIONS = 32  # at most
_SHARE = 4  # degrees of freedom for each dimension, at least
_FEWEST = 8  # dimensions
_RIDGE = 1e-3  # of the mean variance: a feature that is constant has none
_LEAST_VARIANCE = 1e-12
_BYTE = 8

Floats = npt.NDArray[np.float64]


def reference_of(trained: Trained, given: Inputs, learned: Sequence[Image] = ()) -> list[Document]:
    """Return the model's reference as a document; none where too few images can speak for it.

    A published backbone has learned nothing of the images, so all of them count, whose features
    are there already: `learned` too, which the model that is extended was trained on. One that was
    fine-tuned, by this run or by that of the model it started from, knows what it was trained on,
    and held-out images speak.
    """
    parts, model = given.parts, trained.model
    is_published = model.is_frozen and model.backbone.own_weights is None
    everything = [*parts.train, *parts.validation, *learned]
    images = everything if is_published else parts.validation
    if not images:
        return []
    content = written(model.features.of(images), _numbers(images, trained.labels), trained.labels)
    return [] if content is None else [Document(REFERENCE_FILE, content)]


def written(
    features: Tensor, classes: npt.NDArray[np.int64], labels: Sequence[str]
) -> bytes | None:
    """Return the file of features [n, d] and class numbers [n]; None where they tell too little.

    That is where n is too small, or where the images of a class are all alike to the backbone.

    `signs` [k, d / 8] are the projection's bits, `means` [c, k] and `counts` [c] of the classes,
    `whitening` [k, k] makes the spread within classes one in every direction.
    """
    found = features.double().numpy()
    counts = np.bincount(classes, minlength=len(labels))
    freedom = len(found) - int((counts > 0).sum())
    size = min(DIMENSIONS, freedom // _SHARE)
    if size < _FEWEST:
        return None
    bits = _bits(size, found.shape[1])
    projected = found @ _signs(bits, found.shape[1]).T
    means = np.zeros((len(labels), size))
    np.add.at(means, classes, projected)
    means /= np.maximum(counts, 1)[:, None]
    within = projected - means[classes]
    spread = within.T @ within / freedom
    variance = np.trace(spread) / size
    if not variance > _LEAST_VARIANCE:
        return None
    spread += _RIDGE * variance * np.eye(size)
    whitening = np.linalg.inv(np.linalg.cholesky(spread))
    values = {
        "counts": counts.astype("<i8"),
        "means": means.astype("<f4"),
        "whitening": whitening.astype("<f4"),
        "signs": bits,
    }
    kinds = {"<i8": "I64", "<f4": "F32", "|u1": "U8"}
    entries = [
        Entry(name, kinds[value.dtype.str], value.shape, value.nbytes)
        for name, value in values.items()
    ]
    facts = {"num_images": str(len(found)), "freedom": str(freedom)}
    return header(entries, facts) + b"".join(value.tobytes() for value in values.values())


def _numbers(images: Sequence[Image], labels: Sequence[str]) -> npt.NDArray[np.int64]:
    number = {label: place for place, label in enumerate(labels)}
    return np.array([number[image.label or ""] for image in images], dtype=np.int64)


def _bits(size: int, width: int) -> npt.NDArray[np.uint8]:
    """Return fair bits [size, width / 8], the same ones for ever (Achlioptas 2003)."""
    row = -(-width // _BYTE)
    needed = size * row
    blocks = (hashlib.sha256(n.to_bytes(8, "little")).digest() for n in range(needed // 32 + 1))
    return np.frombuffer(b"".join(blocks), dtype=np.uint8)[:needed].reshape(size, row)


def _signs(bits: npt.NDArray[np.uint8], width: int) -> Floats:
    """Return the projection [size, width] that bits stand for."""
    ones = np.unpackbits(bits, axis=1, count=width)
    found: Floats = (2.0 * ones - 1.0) / np.sqrt(width)
    return found
