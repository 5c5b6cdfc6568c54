"""Bring a database to the newest schema: `python -m db.migrate`."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from core.settings import settings


def config(url: str) -> Config:
    """Return Alembic's configuration for one database; needs no ini file."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    found.attributes["url"] = url
    return found


def upgrade(url: str) -> None:
    """Apply every migration that is missing."""
    command.upgrade(config(url), "head")


if __name__ == "__main__":
    settings().home.mkdir(parents=True, exist_ok=True)
    upgrade(settings().url)
