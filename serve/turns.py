"""A bounded queue in which merchants take turns: many photos of one do not delay another's."""

import threading
from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FullError(Exception):
    """There is no room; nothing was put in."""


class Turns(Generic[Item]):
    """Holds `room` items at most; safe to share between threads."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._count = 0
        self._closed = False
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()

    def put(self, merchant: str, item: Item) -> None:
        """Add an item behind the merchant's others; raises `FullError`."""
        with self._changed:
            if self._count >= self._room or self._closed:
                raise FullError
            self._waiting.setdefault(merchant, deque()).append(item)
            self._count += 1
            self._changed.notify_all()

    def take(self, most: int, linger: float = 0.0) -> list[Item]:
        """Return 1 to `most` items, one of each merchant in turn; none once it is closed.

        Waits for the first one, then for `linger` seconds until `most` are there.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._count or self._closed)
            if linger:
                self._changed.wait_for(lambda: self._count >= most or self._closed, linger)
            return [self._next() for _ in range(min(most, self._count))]

    def close(self) -> None:
        """Take nothing more; what is in it can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _next(self) -> Item:
        merchant, items = self._waiting.popitem(last=False)
        item = items.popleft()
        if items:
            self._waiting[merchant] = items
        self._count -= 1
        return item
