"""The courier: takes deliveries out of the outbox and makes the calls, a thread for an endpoint.

An endpoint has one call at a time in each control, and slow ones have half of the places at most:
so nobody's receiver delays another's. Whatever happens to a thread, its delivery comes back.
"""

import threading
import time
from functools import partial

from core.logs import logger
from core.settings import Settings
from core.webhook_secrets import secret
from db.lifecycle import deliveries
from db.lifecycle.deliveries import SLOW_SECONDS, Due, Outcome, Taken
from db.session import Database
from regraft.contract import signatures
from regraft.contract.moments import when
from regraft.contract.version import __version__
from regraft.contract.webhooks import EventSubject, WebhookEvent
from worker.control.post import Rules, post, trusted

LOOK_SECONDS = 0.25
_IN_A_ROW = 50
_log = logger(__name__)


class Courier:
    """The calls of one control process; `look` is its loop's step, `wait` its sleep."""

    def __init__(self, database: Database, settings: Settings, stopping: threading.Event) -> None:
        self._database = database
        self._webhooks = settings.webhooks
        self._lease = settings.webhooks.timeout + settings.timings.lease
        self._rules = Rules(settings.webhooks.timeout, settings.webhooks.allow_private, trusted())
        self._stopping = stopping
        self._lock = threading.Lock()
        self._served: dict[str, Due] = {}
        self._freed = threading.Event()

    def wait(self) -> None:
        """Sleep until it is time to look again, or a place has become free."""
        self._freed.wait(LOOK_SECONDS)
        self._freed.clear()

    def look(self) -> None:
        """Begin to serve endpoints that are due, as far as there are places."""
        with self._database.read() as session:
            found = deliveries.due(session)
        for one in found:
            if self._enter(one):
                serve = partial(self._serve, one)
                threading.Thread(
                    target=serve, name=f"courier {one.webhook_id}", daemon=True
                ).start()

    def finish(self, seconds: float) -> None:
        """Wait so long at most for the calls that are under way; what is left comes back."""
        deadline = time.monotonic() + seconds
        while not self.is_idle() and time.monotonic() < deadline:
            self.wait()

    def is_idle(self) -> bool:
        """Tell whether no call is under way."""
        with self._lock:
            return not self._served

    def _enter(self, one: Due) -> bool:
        with self._lock:
            slow = sum(other.is_slow for other in self._served.values())
            full = len(self._served) >= self._webhooks.slots
            if full or one.webhook_id in self._served:
                return False
            if one.is_slow and slow >= self._webhooks.slots // 2:
                return False
            self._served[one.webhook_id] = one
            return True

    def _serve(self, one: Due) -> None:
        """Deliver to one endpoint, one after another, while that goes well."""
        try:
            for _ in range(_IN_A_ROW):
                if self._stopping.is_set() or not self._deliver(one.webhook_id):
                    break
        except Exception as error:  # noqa: BLE001 - the database may be away; the lease ends
            _log.warning(
                "delivery not settled", webhook=one.webhook_id, reason=type(error).__name__
            )
        finally:
            with self._lock:
                del self._served[one.webhook_id]
            self._freed.set()

    def _deliver(self, webhook_id: str) -> bool:
        """Make one attempt; return whether the next may follow at once."""
        with self._database.write() as session:
            taken = deliveries.take(session, webhook_id, lease=self._lease)
        if taken is None:
            return False
        outcome = self._attempt(taken)
        with self._database.write() as session:
            deliveries.settle(session, taken, outcome, self._webhooks)
        _log.info(
            "webhook called",
            webhook=webhook_id,
            delivery=taken.id,
            attempt=taken.attempt,
            **outcome._asdict(),
        )
        return outcome.is_success and outcome.seconds < SLOW_SECONDS

    def _attempt(self, taken: Taken) -> Outcome:
        body = _body(taken)
        return post(taken.url, self._headers(taken, body), body, self._rules)

    def _headers(self, taken: Taken, body: bytes) -> dict[str, str]:
        moment = int(taken.taken_at)
        signed = [
            signatures.sign(secret(self._webhooks, seed), taken.event_id, moment, body)
            for seed in taken.seeds
        ]
        return {
            "Content-Type": "application/json",
            "User-Agent": f"regraft-webhooks/{__version__}",
            signatures.ID: taken.event_id,
            signatures.TIMESTAMP: str(moment),
            signatures.SIGNATURE: " ".join(signed),
        }


def _body(taken: Taken) -> bytes:
    """Return the same bytes at every attempt."""
    event = WebhookEvent(
        type=taken.type, timestamp=when(taken.created_at), data=EventSubject(id=taken.subject)
    )
    return event.model_dump_json().encode()
