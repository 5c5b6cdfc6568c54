"""What a request needs from its process: settings, the database and the blob store."""

from pathlib import Path
from typing import NamedTuple

from flask import current_app

from api.feed import Feed
from api.gates import Gates
from api.rates import Rates
from api.settings import ApiSettings
from core.blobs import BlobStore
from core.settings import Settings
from db.session import Database

NAME = "regraft"


class Services(NamedTuple):
    """One set for each application object; safe to share between threads."""

    settings: Settings
    api: ApiSettings
    database: Database
    blobs: BlobStore
    gates: Gates
    rates: Rates
    feed: Feed

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
