"""Bring a database to the newest schema, and its roles with it: `python -m db.migrate`."""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import SQLAlchemyError

from core.settings import Settings, settings
from db import roles
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


def migrate(given: Settings) -> None:
    """Bring the database of these settings up to date, tables and roles."""
    roles.make(given)
    upgrade(given.owner_url)
    roles.grant(given)


def main() -> None:
    """Upgrade this process's database; a database that cannot be used is said in one line."""
    settings().home.mkdir(parents=True, exist_ok=True)
    try:
        migrate(settings())
    except SQLAlchemyError as error:
        sys.exit(in_one_line(error))
    except roles.RolesError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
