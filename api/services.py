"""What a request needs from its process: settings, the database, places and rates."""

from pathlib import Path
from typing import NamedTuple

from flask import current_app

from api.feed import Feed
from api.gates import Gates
from api.rates import Rates
from api.serving import Serving
from api.settings import ApiSettings
from core.settings import Settings
from db.session import Database

NAME = "regraft"


class Services(NamedTuple):
    """One set for each application object; safe to share between threads.

    `system` sees every merchant's rows: keys, streams and administration. A merchant's request
    reads and writes through its `Call.database`, which is `merchants` held to its tenant.
    """

    settings: Settings
    api: ApiSettings
    system: Database
    merchants: Database
    gates: Gates
    rates: Rates
    feed: Feed
    serving: Serving

    @property
    def uploads(self) -> Path:
        """The folder of uploads under way; nothing stays in it."""
        return self.settings.home.resolve() / "uploads"


def services() -> Services:
    """Return the current application's services."""
    found = current_app.extensions[NAME]
    if not isinstance(found, Services):
        raise TypeError("the application was not made by create_app")
    return found
