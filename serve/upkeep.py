"""What the serving process does by itself: it lets go of models that were deleted."""

import threading

from sqlalchemy.exc import SQLAlchemyError

from core.logs import logger
from serve.residents import Residents

_JOIN_SECONDS = 2.0
_log = logger(__name__)


class Upkeep:
    """Looks every `seconds` for loaded models that are there no more, until it is closed."""

    def __init__(self, residents: Residents, seconds: float) -> None:
        self._residents = residents
        self._seconds = seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        while not self._closing.wait(self._seconds):
            try:
                gone = self._residents.forget_deleted()
            except SQLAlchemyError as error:
                _log.warning("deleted models not looked for", reason=type(error).__name__)
            else:
                if gone:
                    _log.info("deleted models unloaded", models=gone)
