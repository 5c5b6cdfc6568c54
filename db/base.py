"""Declarative base, column types and the database's own clock.

Times are seconds since the epoch by the database's clock, so that leases compare on SQLite and
PostgreSQL alike and no worker's or API's clock is ever trusted (docs/adr/0003).
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Integer, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Epoch: Double[float] = Double()
Sequence = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Base of all tables; every constraint gets a name, so that migrations can speak of it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class now(FunctionElement[float]):  # noqa: N801 - reads as the SQL function that it is
    """Seconds since the epoch on the database's clock, at the statement and not the transaction."""

    type = Epoch
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(_element: now, _compiler: SQLCompiler, **_kw: Any) -> str:
    # unixepoch('subsec') is NULL before SQLite 3.42, and a NULL lease would never expire.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(_element: now, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "EXTRACT(EPOCH FROM clock_timestamp())::double precision"


class month(FunctionElement[str]):  # noqa: N801 - reads as the SQL function that it is
    """The month in UTC on the database's clock, as `2026-11`."""

    type = String()
    inherit_cache = True


@compiles(month, "sqlite")
def _month_sqlite(_element: month, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "strftime('%Y-%m', 'now')"


@compiles(month, "postgresql")
def _month_postgresql(_element: month, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM')"
