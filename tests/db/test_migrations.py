"""The migrations build what the models say, on both databases, and can be undone."""

from alembic import command
from sqlalchemy import inspect

from db.base import Base
from db.migrate import config
from db.session import Database


def test_no_drift(owner_url: str) -> None:
    """An upgrade would leave a merchant's service without a column that the code needs."""
    command.check(config(owner_url))


def test_every_table_is_built(database: Database) -> None:
    """A table known to the code but to no migration fails at its first use."""
    built = set(inspect(database.engine).get_table_names()) - {"alembic_version"}
    assert built == set(Base.metadata.tables)


def test_down_and_up_again(owner_url: str) -> None:
    """A release that goes wrong could not be rolled back."""
    command.downgrade(config(owner_url), "base")
    command.upgrade(config(owner_url), "head")
    command.check(config(owner_url))
