"""The one task: run the job whose id a message holds, if it is there to be run.

Imported by Celery workers alone; it also ties the station to the child process's life.
"""

import signal

from celery.signals import (
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)

from core import logs
from core.logs import logger
from core.queues import RUN_TASK
from core.settings import settings
from regraft.contract.ids import is_id
from worker.app import app, on
from worker.drain import DrainFlag
from worker.station import Station
from worker.supervisor.supervise import supervise

_log = logger(__name__)
_drain = DrainFlag()
_stations: list[Station] = []


def run(*arguments: object, **options: object) -> None:
    """Run one job; a message that is not exactly one job's id is logged and dropped."""
    job_id = arguments[0] if len(arguments) == 1 and not options else None
    if not isinstance(job_id, str) or not is_id(job_id, "job"):
        _log.warning("message dropped", arguments=repr(arguments)[:200])
        return
    for station in _stations:
        supervise(station, job_id)


app.task(name=RUN_TASK, shared=False)(run)


@on(worker_process_init)
def _open(**_kwargs: object) -> None:
    logs.configure("worker", settings().log_level)
    station = Station(settings(), _drain)
    _stations.append(station)
    station.open()


@on(worker_process_shutdown)
def _close(**_kwargs: object) -> None:
    while _stations:
        _stations.pop().close()


@on(worker_ready)
def _drain_on_quit(**_kwargs: object) -> None:
    """Let QUIT drain as TERM does: Celery would sleep through its grace before it told us."""
    signal.signal(signal.SIGQUIT, signal.getsignal(signal.SIGTERM))


@on(worker_shutting_down)
def _give_jobs_back(**_kwargs: object) -> None:
    _drain.set()
