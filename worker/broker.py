"""Kombu's Redis transport, but nothing that comes over it or breaks off silences the worker.

Kombu's own lets an item that is no message end the worker's parent process, and with it a running
job; and it keeps the place of a message whose acknowledgement Redis did not hear.
May import kombu and core; Celery loads it by name.
"""

from typing import Any

from kombu.transport import redis

from core.logs import logger

_redis: Any = redis
_log = logger(__name__)


class QoS(_redis.QoS):  # type: ignore[misc]  # kombu is untyped
    """Counts the messages that are under way; one that was acknowledged is not, heard or not.

    A worker that looks full to itself does not ask for more, so it would never notice that its
    connection is gone. The message may come again: its job's row tells that it is taken.
    """

    def ack(self, delivery_tag: str) -> None:
        """Free the message's place, whatever becomes of telling Redis."""
        self._quick_ack(delivery_tag)
        super().ack(delivery_tag)


class Channel(_redis.Channel):  # type: ignore[misc]  # kombu is untyped
    """A channel on which garbage ends nothing."""

    QoS = QoS

    def _brpop_read(self, **options: object) -> object:
        """Deliver the next item; one that cannot be parsed has left the queue by then."""
        try:
            return super()._brpop_read(**options)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            _log.warning("item dropped", error=repr(error)[:200])
            return True


class Transport(_redis.Transport):  # type: ignore[misc]  # kombu is untyped
    """The Redis transport with our channel."""

    Channel = Channel
