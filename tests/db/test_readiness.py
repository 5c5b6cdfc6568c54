"""Whether a database can be served from."""

from pathlib import Path

from sqlalchemy import text

from db.readiness import is_migrated
from db.session import Database


def test_only_the_newest_schema_is_ready(
    database: Database, owner: Database, tmp_path: Path
) -> None:
    """Requests would reach a database whose tables are not there yet."""
    assert is_migrated(database)
    with owner.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    assert not is_migrated(database)
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    assert not is_migrated(empty)
    empty.dispose()
