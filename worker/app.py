"""The Celery application: `celery -A worker.app worker`; also how control publishes.

Redis may be wiped at any moment: a message is a hint that holds a job's id, and SQL is the truth.
May import core and regraft.contract; tasks are imported by the worker alone.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from celery import Celery
from celery.signals import setup_logging
from kombu.transport import TRANSPORT_ALIASES

from core import logs
from core.queues import queue_name
from core.safety import refuse_unsafe
from core.settings import Settings, settings

Receiver = TypeVar("Receiver", bound=Callable[..., None])

_MAX_JOB_SECONDS = 1440 * 60


def configuration(given: Settings) -> dict[str, Any]:
    """Return Celery's settings, each with the failure that it answers."""
    return {
        "broker_url": given.redis_url,
        "imports": ("worker.tasks",),
        "task_default_queue": queue_name(given.device_class),
        # Early ack: whatever happens to a message or its worker, the lease in SQL decides.
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,
        "task_retry_on_worker_lost": False,
        # No result keys that would fill Redis; nothing but JSON is ever parsed.
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A fork is safe and cheap because nothing here loads torch; see trainer_process.
        "worker_pool": "prefork",
        "worker_pool_start_method": "fork",
        "worker_proc_alive_timeout": 60.0,
        # A hint must not wait behind a long job while another worker is free.
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        # A new child costs some 3 s and a cold trainer; what leaks is the trainer, which is
        # replaced on its own count (`trainer_max_runs`).
        "worker_max_tasks_per_child": 500,
        # No broadcast queues: liveness and cancelling are in SQL.
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        # A training outlives a Redis outage; Celery 6 would kill it.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # A hung or half-open connection is noticed within seconds, not never.
        "broker_transport_options": {
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "health_check_interval": 5,
            "visibility_timeout": 3600,
            "global_keyprefix": "regraft:",
        },
        # The dispatcher owns retries; a worker never stops asking for Redis.
        "task_publish_retry": False,
        "broker_pool_acquire_timeout": 5,
        "broker_connection_max_retries": None,
        "broker_connection_retry_on_startup": True,
        # TERM sets the drain flag at once (worker.tasks); this is what a second INT gets.
        "worker_soft_shutdown_timeout": given.timings.drain,
        # A backstop only: the supervisor enforces the job's own limit.
        "task_time_limit": _MAX_JOB_SECONDS + 300,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


refuse_unsafe(settings())
# By the URL's scheme, and not as `broker_transport`, which would lose TLS.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "worker.broker:Transport"))
# Celery has no types of its own.
_celery: Any = Celery
app: Any = _celery("regraft")
app.conf.update(configuration(settings()))


def on(signal: Any) -> Callable[[Receiver], Receiver]:
    """Connect a function to one of Celery's signals, as their own decorator does untyped."""

    def connect(receiver: Receiver) -> Receiver:
        signal.connect(receiver, weak=False)
        return receiver

    return connect


@on(setup_logging)
def _log_like_every_process(**_kwargs: object) -> None:
    logs.configure("worker", settings().log_level)
