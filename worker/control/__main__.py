"""`python -m worker.control`: runs the control loops until TERM or INT."""

import signal
import threading

from core import logs
from core.logs import logger
from core.settings import Settings, settings
from db.lifecycle.reap import reap
from db.lifecycle.sweep import sweep
from db.lifecycle.waking import Sleeper
from db.session import Database
from worker.app import app
from worker.control.courier import Courier
from worker.control.dispatcher import dispatch_once, publisher
from worker.control.loops import Loop
from worker.control.watcher import watch_once

_JOIN_SECONDS = 10.0
_SWEEP_SECONDS = 60.0
_WATCH_SECONDS = 15.0
_log = logger(__name__)


def loops(
    given: Settings, database: Database, courier: Courier, stopping: threading.Event
) -> list[Loop]:
    """Return the loops, not yet started; a loop that hangs never holds up another."""
    publish = publisher(app)

    def reap_once() -> None:
        for reaped in reap(database, max_losses=given.max_losses):
            _log.warning("reaped", job=reaped.job_id, to=reaped.to)

    def sweep_once() -> None:
        _log.info("swept", **sweep(database))

    timings = given.timings
    sleeper = Sleeper(database, timings.dispatch_interval, stopping)
    sweep_interval = max(_SWEEP_SECONDS, timings.lease)
    return [
        Loop("dispatch", sleeper.sleep, lambda: dispatch_once(database, publish, given), stopping),
        Loop("reap", lambda: stopping.wait(timings.reaper_interval), reap_once, stopping),
        Loop(
            "watch",
            lambda: stopping.wait(_WATCH_SECONDS),
            lambda: watch_once(database, given),
            stopping,
        ),
        Loop("webhooks", courier.wait, courier.look, stopping),
        Loop("sweep", lambda: stopping.wait(sweep_interval), sweep_once, stopping),
    ]


def main() -> None:
    """Run until a signal asks to stop."""
    given = settings()
    logs.configure("control", given.log_level)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    database = Database(given.url)
    courier = Courier(database, given, stopping)
    running = loops(given, database, courier, stopping)
    for loop in running:
        loop.start()
    _log.info("control runs", loops=[loop.name for loop in running])
    stopping.wait()
    for loop in running:
        loop.join(_JOIN_SECONDS)
    courier.finish(_JOIN_SECONDS)
    database.dispose()


if __name__ == "__main__":
    main()
