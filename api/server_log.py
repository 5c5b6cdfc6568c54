"""gunicorn's own lines in the shape of ours, without the keys that a bad request may hold.

May import gunicorn and core.
"""

from typing import Any

from gunicorn.glogging import Logger

from core.logs import formatter


class ServerLog(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """gunicorn's logger, with our formatter on every handler."""

    def setup(self, cfg: Any) -> None:
        """Set the handlers up again; gunicorn calls it at start and when told to reload."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(formatter())
