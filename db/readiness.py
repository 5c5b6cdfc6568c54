"""Whether a database has the schema of this code."""

from functools import cache

from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from db.migrate import config
from db.session import Database

_TABLE = "alembic_version"
_REVISIONS = text("SELECT version_num FROM alembic_version")


@cache
def newest() -> str | None:
    """Return the newest migration in this checkout."""
    return ScriptDirectory.from_config(config("")).get_current_head()


def is_migrated(database: Database) -> bool:
    """Tell whether the newest migration has been applied; raises what an unreachable one does."""
    with database.read() as session:
        if not inspect(session.connection()).has_table(_TABLE):
            return False
        return session.scalars(_REVISIONS).all() == [newest()]
