"""Run images through a frozen backbone, each once ever, and keep the result.

May import torch and the contract.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from regraft.contract.errors import ErrorCode
from worker.engine import preprocess
from worker.engine.backbone import Backbone
from worker.engine.context import Context
from worker.engine.data import Image
from worker.engine.failures import EngineError, is_out_of_memory
from worker.engine.feature_cache import FeatureCache, Found
from worker.engine.runtimes import Eager, Runtime

DEFAULT_BATCH = 32
CUT = "features"  # after global pooling, before the classifier
VIEW = "centre"
_PACK_SIZE = 1024  # images to a pack: what a killed run loses at most


class Features(NamedTuple):
    """What is known of a set of images.

    `rows` holds an fp16 row [d] for each readable image by hash; the same values whether they
    came from the cache or not, `looks` what `duplicates` compares them by. `seconds` is what
    computing all of them costs, cached or not; `profile` is the runtime's.
    """

    rows: dict[str, Tensor]
    looks: dict[str, Tensor]
    unreadable: dict[str, str]
    seconds: float
    computed: int
    key: str
    profile: str = ""

    def of(self, images: Sequence[Image]) -> Tensor:
        """Return float32 features [n, d] of n readable images, in their order."""
        width = len(next(iter(self.rows.values())))
        rows = [self.rows[image.sha256] for image in images]
        return torch.stack(rows).float() if rows else torch.zeros(0, width)


def cache_of(backbone: Backbone, root: Path, runtime: Runtime | None = None) -> FeatureCache:
    """Return the cache of a backbone's features; everything that decides a value is its key.

    `runtime` is the one that computes them, eager torch where none is given.
    """
    settings = preprocess.settings_of(backbone.record)
    key = {
        "weights": backbone.fingerprint,
        "preprocessing": preprocess.fingerprint(settings),
        "cut": CUT,
        "view": VIEW,
        "numeric_profile": (runtime or Eager(backbone)).profile,
    }
    return FeatureCache(root, key)


class Extractor:
    """Computes what the cache does not hold; remembers a batch size that fits in memory."""

    def __init__(
        self,
        backbone: Backbone,
        cache: FeatureCache,
        batch_size: int,
        context: Context,
        runtime: Runtime | None = None,
        *,
        keeps: bool = True,
    ) -> None:
        """Compute in `runtime`, the one that `cache` was made for; eager torch if null.

        Without `keeps` nobody is told of the packs: no later run will have this backbone.
        """
        self._backbone = backbone
        self._runtime = runtime or Eager(backbone)
        self._cache = cache
        self._batch_size = batch_size
        self._context = context
        self._keeps = keeps
        self._stored: list[str] = []

    def extract(self, images: Sequence[Image]) -> Features:
        """Return the features of `images`, each computed at most once.

        Raises:
            EngineError: OUT_OF_MEMORY where one image does not fit, DIVERGED where a feature
                is not finite in fp16.
        """
        unique = list({image.sha256: image for image in images}.values())
        found = self._found([image.sha256 for image in unique])
        for name in found.dropped:
            self._context.event(f"Dropped a damaged feature pack, {name}.", "warn")
        missing = [image for image in unique if image.sha256 not in found.rows]
        if found.rows:
            self._context.event(f"Features of {len(found.rows)} images were computed before.")
        fresh, looks, unreadable, seconds = self._compute(missing, len(unique))
        if self._keeps:
            packs = [*found.packs, *self._stored]
            self._context.features(self._cache.key, self._backbone.record.name, packs)
        return Features(
            rows=found.rows | fresh,
            looks=found.looks | looks,
            unreadable=unreadable,
            seconds=found.seconds + seconds,
            computed=len(fresh),
            key=self._cache.key,
            profile=self._runtime.profile,
        )

    def _found(self, hashes: list[str]) -> Found:
        """Return what this host has, and of the rest what can be brought to it."""
        found = self._cache.find(hashes)
        missing = [name for name in hashes if name not in found.rows]
        if missing and self._keeps and self._context.fetch_features(self._cache.key):
            found = found.joined(self._cache.find(missing))
        return found

    def _compute(
        self, images: Sequence[Image], total: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, str], float]:
        """Return new rows, looks, unreadable images and the seconds; store packs on the way."""
        rows: dict[str, Tensor] = {}
        looks: dict[str, Tensor] = {}
        unreadable: dict[str, str] = {}
        pending: list[str] = []
        done = total - len(images)
        started = stored = time.perf_counter()
        settings = preprocess.settings_of(self._backbone.record)
        try:
            for batch in preprocess.batches(images, settings, self._batch_size):
                self._context.check()
                unreadable |= batch.unreadable
                names = [image.sha256 for image in batch.images]
                rows.update(zip(names, self._forward(batch.pixels), strict=True))
                looks.update(zip(names, batch.looks, strict=True))
                pending += names
                done += len(names) + len(batch.unreadable)
                self._context.progress("features", 0.60 - 0.55 * (1 - done / total), done, total)
                now = time.perf_counter()
                self._context.metrics(done, images_per_second=len(rows) / (now - started))
                if len(pending) >= _PACK_SIZE:
                    self._store(pending, rows, looks, now - stored)
                    pending, stored = [], now
        finally:
            # A cancelled run has paid for these: the next one finds them.
            self._store(pending, rows, looks, time.perf_counter() - stored)
        return rows, looks, unreadable, time.perf_counter() - started

    def _store(
        self,
        names: list[str],
        rows: dict[str, Tensor],
        looks: dict[str, Tensor],
        seconds: float,
    ) -> None:
        if names:
            features = torch.stack([rows[name] for name in names])
            seen = torch.stack([looks[name] for name in names])
            self._stored.append(self._cache.add(names, features, seen, seconds).stem)

    def _forward(self, pixels: Tensor) -> Tensor:
        """Return fp16 features [n, d], in smaller pieces where memory does not suffice."""
        pieces: list[Tensor] = []
        start = 0
        while start < len(pixels):
            piece = pixels[start : start + self._batch_size]
            try:
                pieces.append(self._runtime.features(piece))
                start += len(piece)
            except (RuntimeError, MemoryError) as error:
                self._shrink(error, len(piece))
        if not pieces:
            return torch.zeros(0, self._backbone.record.num_features, dtype=torch.float16)
        return self._rounded(torch.cat(pieces))

    def _shrink(self, error: Exception, size: int) -> None:
        """Halve the batch after running out of memory; raise what cannot be helped."""
        if not is_out_of_memory(error) or size == 1:
            raise error
        self._batch_size = max(1, size // 2)
        message = f"Out of memory with {size} images at once; going on with {self._batch_size}."
        self._context.event(message, "warn", batch_size=self._batch_size)

    def _rounded(self, features: Tensor) -> Tensor:
        rounded = features.half()
        if not bool(rounded.isfinite().all()):
            raise EngineError(ErrorCode.DIVERGED, "The backbone gave features that are not finite.")
        return rounded
