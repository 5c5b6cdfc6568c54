"""Live events: one thread of a process asks SQL for what is new, for all of its streams at once.

A stream that does not keep up is ended; its client comes back with `Last-Event-ID`.
"""

import queue
import threading

from core.logs import logger
from db.models import JobEvent
from db.repositories import following
from db.repositories.following import Position
from db.session import Database
from regraft.contract.status import TERMINAL

_INTERVAL_SECONDS = 0.25
_MOST_WAITING = 1000
_log = logger(__name__)


class Follower:
    """One stream's end of the feed: what came for it and was not sent yet."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self._waiting: queue.Queue[JobEvent | None] = queue.Queue()

    def give(self, event: JobEvent) -> bool:
        """Hand an event over; return False once nothing more is to come."""
        self.position = self.position._replace(seq=event.seq)
        self._waiting.put(event)
        over = event.type == "status" and event.data.get("to") in TERMINAL
        return not over and self._waiting.qsize() < _MOST_WAITING

    def end(self) -> None:
        """Let the stream end once it has sent what waits."""
        self._waiting.put(None)

    def next(self, timeout: float) -> JobEvent | None:
        """Return the next event, or None at the end; raises `queue.Empty` after `timeout`."""
        return self._waiting.get(timeout=timeout)


class Feed:
    """What the streams of one process share; its thread runs while somebody follows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._followers: set[Follower] = set()
        self._runs = False
        self._stopping = threading.Event()

    def follow(self, position: Position) -> Follower:
        """Begin to follow a job from there."""
        follower = Follower(position)
        with self._lock:
            self._followers.add(follower)
            if not self._runs:
                threading.Thread(target=self._run, name="feed", daemon=True).start()
                self._runs = True
        return follower

    def stop(self) -> None:
        """End every stream, now and from now on: the process is about to end."""
        self._stopping.set()

    def leave(self, follower: Follower) -> None:
        """Follow no longer; leaving twice changes nothing."""
        with self._lock:
            self._followers.discard(follower)

    def _run(self) -> None:
        """Ask and hand out, until nobody follows any more."""
        while True:
            with self._lock:
                current = list(self._followers)
                if self._stopping.is_set():
                    self._end(current)
                self._runs = bool(self._followers)
                if not self._runs:
                    return
            try:
                more = self._hand_out(current)
            except Exception as error:  # noqa: BLE001 - the database may be away; clients wait
                _log.warning("events could not be read", reason=type(error).__name__)
                more = False
            if not more:
                self._stopping.wait(_INTERVAL_SECONDS)

    def _end(self, followers: list[Follower]) -> None:
        for follower in followers:
            self._followers.discard(follower)
            follower.end()

    def _hand_out(self, current: list[Follower]) -> bool:
        """Give every follower what is new for it; return whether there may be more already."""
        with self._database.read() as session:
            found = following.after(session, [one.position for one in current])
        over = [one for one in current if not self._give(one, found)]
        with self._lock:
            self._end(over)
        return len(found) == following.MOST

    def _give(self, follower: Follower, found: list[JobEvent]) -> bool:
        """Return False once the stream must end."""
        job_id, seq = follower.position.job_id, follower.position.seq
        mine = (event for event in found if event.job_id == job_id and event.seq > seq)
        return all(follower.give(event) for event in mine)
