"""Pictures that nearly equal each other: kept on one side of a split, and found across it.

May import numpy, Pillow, torch and `splits`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image as Pictures
from torch import Tensor

from worker.engine.data import Image
from worker.engine.splits import unit

SIDE = 16
LOOK = SIDE * SIDE * 3
MAX_DISTANCE = 8  # of 64 bits
MIN_CORRELATION = 0.985
MIN_CONTRAST = 4.0  # standard deviation of a look's values in 0-255
ALIKE = "alike:"  # what the names of groups begin with
_LOWEST = 8
_LUMA = np.array([0.299, 0.587, 0.114])

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


def look(pixels: Bytes) -> Bytes:
    """Return the look [16, 16, 3] of a decoded picture [h, w, 3]; about 0.1 ms at 224 pixels."""
    small = Pictures.fromarray(pixels).resize((SIDE, SIDE), Pictures.Resampling.BOX)
    return np.asarray(small, dtype=np.uint8)


def hashes(looks: Bytes) -> npt.NDArray[np.uint64]:
    """Return the perceptual hashes [n] of looks [n, 16, 16, 3].

    "pHash" (Zauner 2010): which of the 8 x 8 lowest DCT coefficients of the brightness exceed
    their median.
    """
    place = np.arange(SIDE)
    waves = np.cos(np.pi * (2 * place + 1) * place[:_LOWEST, None] / (2 * SIDE))
    found = (waves @ (looks @ _LUMA) @ waves.T).reshape(len(looks), _LOWEST**2)
    found[:, 0] = 0  # the mean brightness says nothing of what is shown
    bits = found > np.median(found[:, 1:], axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


class Gallery:
    """The looks of n pictures, to be asked which are alike.

    Two are if their hashes differ in 8 bits of 64 at most and the looks, colours included,
    correlate by 0.985: so a copy in another size, brightness or compression is found, and another
    product in the same pose or the same one in another colour is not. A look without contrast is
    like no other: a hash of nothing is chance. One that is like the other's mirror image is like
    it too. On the sample photos no two distinct ones are alike. Asking costs three passes over n
    hashes: 20,000 pictures compared with each other take about three seconds, and 15 MB.
    """

    def __init__(self, looks: Sequence[Bytes]) -> None:
        shape = (len(looks), SIDE, SIDE, 3)
        self._looks = np.stack(looks).reshape(shape) if looks else np.zeros(shape, np.uint8)
        self._hashes = hashes(self._looks)
        self._mirrored = hashes(self._looks[:, :, ::-1])
        spread = self._looks.reshape(len(looks), LOOK).std(axis=1)
        self._has_contrast = spread >= MIN_CONTRAST

    def alike(self, number: int, among: Numbers) -> Numbers:
        """Return those numbers `among` the pictures that are like picture `number`."""
        if not self._has_contrast[number]:
            return among[:0]
        close: Numbers = among[self._is_near(number, among) & self._has_contrast[among]]
        if not len(close):
            return close
        rows, mine = self._centred(close), self._centred(np.array([number]))[0]
        mirrored = mine.reshape(SIDE, SIDE, 3)[:, ::-1].reshape(LOOK)
        correlation = np.maximum(rows @ mine, rows @ mirrored)
        alike: Numbers = close[correlation >= MIN_CORRELATION]
        return alike

    def _is_near(self, number: int, among: Numbers) -> npt.NDArray[np.bool_]:
        """Tell for each whether the hashes are near, as they are or with either one mirrored.

        A mirrored picture's hash follows from no other, so both are asked: likeness is mutual.
        """
        plain, mirrored = self._hashes, self._mirrored
        near = np.zeros(len(among), dtype=np.bool_)
        for mine, others in ((plain, plain), (mirrored, plain), (plain, mirrored)):
            near |= np.bitwise_count(others[among] ^ mine[number]) <= MAX_DISTANCE
        return near

    def _centred(self, numbers: Numbers) -> npt.NDArray[np.float64]:
        """Return looks as vectors [k, 768] without mean, of length 1."""
        rows = self._looks[numbers].reshape(len(numbers), LOOK).astype(np.float64)
        rows -= rows.mean(axis=1, keepdims=True)
        unit_rows: npt.NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit_rows


def gallery_of(images: Iterable[Image], looks: Mapping[str, Tensor]) -> Gallery:
    """Return the gallery of images whose looks [768] are known by hash."""
    return Gallery([looks[image.sha256].numpy() for image in images])


def grouped(
    images: Sequence[Image], looks: Mapping[str, Tensor], check: Callable[[], None]
) -> list[Image]:
    """Return `images` with those that are alike, and their products, in one group.

    A group is a head and what is like it, never what is only like those: in a long chain of
    pictures, each like the next, the ends are not alike, and one group must not swallow a
    dataset. Where a chain is cut, two that are alike can still part: `leaked` finds them. Heads
    are chosen in the order of hashes, so the order of `images` changes nothing.
    """
    ordered = sorted(images, key=lambda image: (image.sha256, image.name))
    head_of = _heads(_links(ordered, looks, check))
    sizes: dict[str, int] = defaultdict(int)
    for head in head_of.values():
        sizes[head] += 1
    heads = [head_of.get(unit(image), "") for image in images]
    return [
        image._replace(group=f"{ALIKE}{head}") if sizes[head] > 1 else image
        for image, head in zip(images, heads, strict=True)
    ]


def _links(
    images: Sequence[Image], looks: Mapping[str, Tensor], check: Callable[[], None]
) -> dict[str, set[str]]:
    """Return which products or single images have pictures that are alike: each with its head."""
    gallery = gallery_of(images, looks)
    is_free = np.ones(len(images), dtype=np.bool_)
    links: dict[str, set[str]] = defaultdict(set)
    for number, image in enumerate(images):
        check()
        if not is_free[number]:
            continue
        is_free[number] = False
        followers = gallery.alike(number, np.flatnonzero(is_free))
        is_free[followers] = False
        for one in followers.tolist():
            links[unit(image)].add(unit(images[one]))
            links[unit(images[one])].add(unit(image))
    return links


def _heads(links: Mapping[str, set[str]]) -> dict[str, str]:
    """Return the head of each linked product: itself, or one that it is linked with."""
    head_of: dict[str, str] = {}
    for key in sorted(links):
        if key not in head_of:
            head_of |= {key: key} | {one: key for one in links[key] if one not in head_of}
    return head_of


def leaked(
    held_out: Sequence[Image],
    learned: Sequence[Image],
    looks: Mapping[str, Tensor],
    check: Callable[[], None],
) -> dict[str, Image]:
    """Return those held-out images, by hash, that are like a learned one, and the first such."""
    gallery = gallery_of([*learned, *held_out], looks)
    among = np.arange(len(learned))
    found: dict[str, Image] = {}
    for number, image in enumerate(held_out, start=len(learned)):
        check()
        near = gallery.alike(number, among)
        if len(near):
            found[image.sha256] = learned[int(near[0])]
    return found
