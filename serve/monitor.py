"""Sums over what models are asked about, kept in memory until enough photos make them nobody's.

Added to the database by a thread of its own: no answer waits for it, and what it cannot write is
tried again. A process that ends takes less than a handful of photos for each model with it.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy.exc import SQLAlchemyError

from core.logs import logger
from db.lifecycle import drift
from db.lifecycle.drift import Tally
from db.session import Database
from serve.drift import Reference
from worker.engine.shipped.predict import Floats

FEWEST = 20  # photos: what is written is a sum of so many at least
_MODELS = 2000
_REMEMBERED = 512
_JOIN_SECONDS = 5.0
_log = logger(__name__)
Key = tuple[str, str]


class _Running:
    """What a model was asked about since the last writing; photos are told apart by their hash."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.sums = np.zeros(len(reference.whitening))
        self.counts = np.zeros(len(reference.counts), dtype=np.int64)
        self.known: OrderedDict[bytes, None] = OrderedDict()

    def is_new(self, photo: bytes) -> bool:
        """Tell whether this photo is none of the last few, and remember it."""
        digest = hashlib.sha256(photo).digest()[:8]
        if digest in self.known:
            return False
        self.known[digest] = None
        if len(self.known) > _REMEMBERED:
            self.known.popitem(last=False)
        return True

    def take(self) -> Tally:
        """Return what has come together, and begin anew."""
        taken = Tally(self.sums.tolist(), self.counts.tolist())
        self.sums[:], self.counts[:] = 0.0, 0
        return taken

    def give_back(self, tally: Tally) -> None:
        """Add what could not be written."""
        self.sums += tally.sums
        self.counts += np.asarray(tally.counts)


class Monitor:
    """Watches the traffic of all models; safe to share between threads."""

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._lock = threading.Lock()
        self._models: OrderedDict[Key, _Running] = OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monitor", daemon=True)
        self._thread.start()

    def saw(
        self,
        key: Key,
        reference: Reference,
        photos: Sequence[bytes],
        features: Floats,
        classes: npt.NDArray[np.int64],
    ) -> None:
        """Count photos that a model has answered: their features [n, d] and classes [n].

        A photo that was sent before counts once, and one of a class that the reference has no
        image of does not. Of more models than fit, the one that was asked least lately is left.
        """
        found = reference.deviations(features, classes)
        with self._lock:
            running = self._models.get(key)
            if running is None or running.reference is not reference:
                running = self._models[key] = _Running(reference)
            self._models.move_to_end(key)
            for photo, deviation, number in zip(photos, found, classes, strict=True):
                if reference.counts[number] and running.is_new(photo):
                    running.sums += deviation
                    running.counts[number] += 1
            if len(self._models) > _MODELS:
                self._models.popitem(last=False)

    def close(self) -> None:
        """Write what may be written and end the thread."""
        self._stopping.set()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self.flush()
        self.flush()

    def flush(self) -> None:
        """Write the sums of every model that was asked about enough photos."""
        with self._lock:
            full = [key for key, one in self._models.items() if one.counts.sum() >= FEWEST]
        for key in full:
            with self._lock:
                running = self._models.get(key)
                tally = running.take() if running else None
            if running is None or tally is None:
                continue
            try:
                self._write(key, running.reference, tally)
            except SQLAlchemyError as error:
                _log.warning("drift not written", model=key[1], reason=type(error).__name__)
                with self._lock:
                    running.give_back(tally)

    def _write(self, key: Key, reference: Reference, tally: Tally) -> None:
        tenant_id, model_id = key
        with self._database.of(tenant_id).write() as session:
            drift.add(session, tenant_id, model_id, tally, reference.judge)
