"""Bring a database to the newest schema: `python -m db.migrate`."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import SQLAlchemyError

from core.settings import settings
from db.failures import in_one_line


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
    except SQLAlchemyError as error:
        sys.exit(in_one_line(error))


if __name__ == "__main__":
    main()
