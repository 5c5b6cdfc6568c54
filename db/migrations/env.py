"""Alembic's entry: one online run against the URL that `db.migrate` passed."""

from alembic import context

import db.models  # noqa: F401 - registers every table
from core.settings import settings
from db.base import Base
from db.session import Database


def run() -> None:
    """Run the migrations in one transaction."""
    url = context.config.attributes.get("url") or settings().owner_url
    database = Database(url)
    with database.engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=True,
            compare_type=True,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    database.dispose()


run()
