"""Bring a database to the newest schema: `python -m db.migrate`."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError

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


def main() -> None:
    """Upgrade this process's database; a database that cannot be used is said in one line."""
    settings().home.mkdir(parents=True, exist_ok=True)
    try:
        upgrade(settings().url)
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())
        sys.exit(f"the database of REGRAFT_DATABASE_URL cannot be used: {reason}")


if __name__ == "__main__":
    main()
