"""Dispatch: mark the jobs to hint at, commit, then publish; a hint that fails is taken back."""

from collections.abc import Callable
from typing import Any

from core.logs import logger
from core.queues import RUN_TASK, queue_name
from core.settings import Settings
from db.lifecycle import dispatch
from db.lifecycle.dispatch import Hint
from db.session import Database

Publish = Callable[[Hint], None]
_log = logger(__name__)


class PublishError(RuntimeError):
    """Redis did not take a hint; the jobs are still queued."""


def publisher(app: Any) -> Publish:
    """Return a function that sends one hint; it fails within seconds where Redis hangs."""

    def publish(hint: Hint) -> None:
        app.send_task(
            RUN_TASK,
            args=[hint.job_id],
            queue=queue_name(hint.device_class),
            retry=False,
            ignore_result=True,
        )

    return publish


def dispatch_once(database: Database, publish: Publish, settings: Settings) -> None:
    """Hint at what may start now.

    Raises:
        PublishError: a hint was refused; it and the rest were taken back.
    """
    hints = dispatch.mark(database, redispatch=settings.timings.redispatch)
    for sent, hint in enumerate(hints):
        try:
            publish(hint)
        except Exception as error:
            with database.write() as session:
                dispatch.unmark(session, hints[sent:])
            raise PublishError(f"{len(hints) - sent} hints taken back") from error
        _log.info("dispatched", job=hint.job_id, device_class=hint.device_class)
