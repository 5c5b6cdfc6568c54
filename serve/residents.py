"""The models that are loaded, within stated limits of memory.

Heads and fine-tuned backbones come and go, the longest unused first; shared ones stay.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from core.blobs import SHARED_SCOPE, BlobCorruptError
from core.logs import logger
from core.refusals import RefusedError
from db.repositories.models import Segment
from regraft.contract.errors import ErrorCode
from serve.batcher import Batcher
from serve.graphs import Graph, UnusableGraphError
from serve.heads import Files, Head
from serve.settings import ServeSettings

_FACTOR = 3  # memory of a loaded backbone to the bytes of its file: a reckoning with room
_log = logger(__name__)


class Loaded(NamedTuple):
    """A backbone that runs, and the memory that is reckoned for it, in bytes."""

    graph: Graph
    batcher: Batcher
    num_bytes: int


class Residents:
    """Loads models when they are asked for; safe to share between threads."""

    def __init__(self, files: Files, given: ServeSettings) -> None:
        self._files = files
        self._given = given
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._heads: OrderedDict[tuple[str, str], Head] = OrderedDict()
        self._head_bytes = 0
        self._graphs: OrderedDict[Segment, Loaded] = OrderedDict()
        self._users: dict[Segment, int] = {}
        self._orphans: set[Segment] = set()

    def head(self, tenant_id: str, model_id: str) -> Head:
        """Return a model's head.

        Raises `not_found`, `not_servable`, or `BlobCorruptError` for a file that was altered.
        """
        key = (tenant_id, model_id)
        with self._lock:
            if key in self._heads:
                self._heads.move_to_end(key)
                return self._heads[key]
        head = self._files.head(tenant_id, model_id)
        with self._lock:
            if key not in self._heads:
                self._heads[key] = head
                self._head_bytes += head.num_bytes
            while self._head_bytes > self._given.head_bytes and len(self._heads) > 1:
                self._head_bytes -= self._heads.popitem(last=False)[1].num_bytes
        return head

    def forget_deleted(self) -> int:
        """Let go of models that were deleted, and of backbones that were theirs alone.

        Returns how many heads went; a backbone in use goes with a later call.
        """
        with self._lock:
            known = list(self._heads)
        gone = self._files.deleted(known)
        with self._lock:
            for key in gone & self._heads.keys():
                head = self._heads.pop(key)
                self._head_bytes -= head.num_bytes
                if head.graph.scope != SHARED_SCOPE:
                    self._orphans.add(head.graph)
            self._orphans -= {head.graph for head in self._heads.values()}
            for graph in [one for one in self._orphans if not self._users.get(one)]:
                self._orphans.discard(graph)
                if graph in self._graphs:
                    self._unload(graph)
        return len(gone)

    @contextmanager
    def backbone(self, tenant_id: str, head: Head) -> Iterator[Loaded]:
        """Hold the backbone of a head, which stays loaded for the length of the block.

        Raises `BlobCorruptError` for one that was altered, `not_servable` for one that is larger
        than the memory for fine-tuned models, `unavailable` where others use all of that.
        """
        loaded = self._entered(head) or self._load(tenant_id, head)
        try:
            yield loaded
        finally:
            with self._lock:
                self._users[head.graph] -= 1

    def _entered(self, head: Head) -> Loaded | None:
        """Return a backbone that is loaded, counting one user more."""
        with self._lock:
            loaded = self._graphs.get(head.graph)
            if loaded is not None:
                self._graphs.move_to_end(head.graph)
                self._users[head.graph] += 1
            return loaded

    def _load(self, tenant_id: str, head: Head) -> Loaded:
        with self._loading:
            if loaded := self._entered(head):
                return loaded
            num_bytes = self._make_room(head.graph)
            loaded = self._started(tenant_id, head, num_bytes)
            with self._lock:
                self._graphs[head.graph] = loaded
                self._users[head.graph] = 1
        _log.info("backbone loaded", blob=head.graph.sha256, scope=head.graph.scope)
        return loaded

    def _make_room(self, wanted: Segment) -> int:
        """Unload what is unused until there is memory for one more; return what it will take."""
        if wanted.scope == SHARED_SCOPE:
            return 0
        num_bytes, limit = _FACTOR * wanted.length, self._given.model_bytes
        if num_bytes > limit:
            raise RefusedError(
                ErrorCode.NOT_SERVABLE,
                f"The model needs {num_bytes} bytes of memory; this service gives {limit}.",
                "ref",
            )
        with self._lock:
            for key in list(self._graphs):
                if self._num_bytes + num_bytes <= limit:
                    break
                if self._graphs[key].num_bytes and not self._users[key]:
                    self._unload(key)
            if self._num_bytes + num_bytes > limit:
                message = "All memory for fine-tuned models is in use."
                raise RefusedError(ErrorCode.UNAVAILABLE, message)
        return num_bytes

    @property
    def _num_bytes(self) -> int:
        return sum(loaded.num_bytes for loaded in self._graphs.values())

    def _unload(self, key: Segment) -> None:
        loaded = self._graphs.pop(key)
        del self._users[key]
        loaded.batcher.close()
        _log.info("backbone unloaded", blob=key.sha256)

    def _started(self, tenant_id: str, head: Head, num_bytes: int) -> Loaded:
        content = self._files.backbone(tenant_id, head)
        given = self._given
        try:
            graph = Graph(content, head.weight.shape[1], given.num_threads)
        except UnusableGraphError as error:
            _log.error("backbone cannot be run", model=head.whole.model_id, reason=str(error))
            raise BlobCorruptError(head.whole.model_id) from error
        if graph.side != head.preprocess.input_size:
            raise BlobCorruptError(head.whole.model_id)
        batcher = Batcher(graph.features, given.batch, given.linger, given.queued)
        return Loaded(graph, batcher, num_bytes)
