"""Kombu's Redis transport, but an item that is no message of ours is dropped.

Kombu's own lets such an item end the worker's parent process, and with it a running job.
May import kombu and core; Celery loads it by name.
"""

from typing import Any

from kombu.transport import redis

from core.logs import logger

_redis: Any = redis
_log = logger(__name__)


class Channel(_redis.Channel):  # type: ignore[misc]  # kombu is untyped
    """A channel on which garbage ends nothing."""

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
