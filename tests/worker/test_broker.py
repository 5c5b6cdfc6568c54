"""The Redis transport, against a real Redis that goes away at the worst moment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu
import pytest

from core.settings import Settings
from deploy.redis import EmbeddedRedis
from worker.app import app, configuration
from worker.broker import Transport

_kombu: Any = kombu
_KEY = "hints"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that the test may stop."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_it_is_the_transport_of_every_address(scheme: str) -> None:
    """Over TLS a piece of garbage would end the worker, or a lost answer silence it."""
    with app.connection(f"{scheme}://127.0.0.1:1/0") as connection:
        assert isinstance(connection.transport, Transport)
        assert bool(connection.ssl) == (scheme == "rediss")


def test_a_message_whose_ack_fails_does_not_keep_its_place(server: EmbeddedRedis) -> None:
    """The worker would look full to itself, ask for nothing more, and be silent for ever."""
    given = configuration(Settings(redis_url=server.url))
    connection = _kombu.Connection(
        given["broker_url"], transport_options=given["broker_transport_options"]
    )
    channel = connection.channel()
    channel.basic_qos(0, 1, False)
    queue = _kombu.Queue(_KEY, routing_key=_KEY, channel=channel)
    queue.declare()
    connection.Producer().publish({"job": "job_1"}, routing_key=_KEY)
    message = queue.get()
    assert not channel.qos.can_consume()
    server.stop()
    with pytest.raises(connection.connection_errors):
        message.ack()
    assert channel.qos.can_consume()
    server.start()  # what is left is put back when the channel closes
    connection.release()
