"""The watch: says in the log what a merchant would otherwise notice first."""

from core.logs import logger
from core.settings import Settings
from db.lifecycle.watch import look
from db.session import Database

LONGEST_WAIT = 60.0
_log = logger(__name__)


def watch_once(database: Database, settings: Settings) -> None:
    """Log the queue's age and the leases nobody reaped; warn where either should not be."""
    seen = look(database, overdue=2 * settings.timings.reaper_interval)
    _log.info("watch", oldest_waiting=round(seen.waited, 1), expired_leases=seen.expired)
    if seen.waited > LONGEST_WAIT:
        _log.warning("jobs wait beside free slots", seconds=round(seen.waited, 1))
    if seen.expired:
        _log.error("running jobs have dead leases", jobs=seen.expired)
