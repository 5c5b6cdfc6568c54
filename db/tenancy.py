"""The one helper through which a tenant's rows are read: no query on a tenant's table without it.

A test reads every repository's source and refuses a bare `select` on such a table.
"""

from typing import Protocol, TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import class_mapper


class TenantOwned(Protocol):
    """A table whose every row belongs to one tenant."""

    @property
    def tenant_id(self) -> str:
        """The owner; a property, as mypy sees a mapped column of an instance."""
        ...


Row = TypeVar("Row", bound=TenantOwned)


def scoped(table: type[Row], tenant_id: str) -> Select[Row]:
    """Return a select on `table` that sees this tenant's rows and no others."""
    return select(table).where(class_mapper(table).c["tenant_id"] == tenant_id)
