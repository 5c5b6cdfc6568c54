"""Fill a database with finished jobs, as years of use would; rows only, written in bulk."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

from sqlalchemy import text

from db.session import Database
from regraft.contract.ids import new_id
from regraft.contract.job import JobSpec

_COLUMNS = (
    "id",
    "tenant_id",
    "kind",
    "device_class",
    "register_as",
    "spec",
    "dataset_id",
    "metadata",
    "priority",
    "status",
    "attempt",
    "lost_count",
    "retry_count",
    "fence",
    "run_after",
    "seconds_run",
    "created_at",
    "started_at",
    "finished_at",
)


def finished_jobs(database: Database, tenant_id: str, dataset_id: str, count: int) -> None:
    """Insert `count` jobs that succeeded long ago, and refresh the planner's statistics."""
    rows = islice(_rows(tenant_id, dataset_id), count)
    with database.write() as session:
        connection: Any = session.connection().connection.driver_connection
        if database.is_sqlite:
            marks = ", ".join("?" * len(_COLUMNS))
            names = ", ".join(_COLUMNS)
            statement = f"INSERT INTO job ({names}) VALUES ({marks})"  # noqa: S608 - our own names
            connection.executemany(statement, rows)
        else:
            copy = f"COPY job ({', '.join(_COLUMNS)}) FROM STDIN"
            with connection.cursor() as cursor, cursor.copy(copy) as out:
                for row in rows:
                    out.write_row(row)
    with database.write() as session:
        session.execute(text("ANALYZE"))


def _rows(tenant_id: str, dataset_id: str) -> Iterator[tuple[object, ...]]:
    spec = JobSpec(dataset=dataset_id).model_dump_json()
    fixed = ("train", "cpu", "model", spec, dataset_id, "{}", 0, "succeeded", 1, 0, 0, 1)
    while True:
        yield (new_id("job"), tenant_id, *fixed, 0.0, 1.0, 0.0, 0.0, 1.0)
