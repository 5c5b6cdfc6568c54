"""What a host keeps of datasets and models that are not there any more, and must forget.

Nothing needs to be noted of what was erased: whatever no row names goes, when a host gets to it.
May import db, `local_cache`, `places`, `worker.engine.feature_packs` and the standard library.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from db.models import Dataset, Image, ModelFile
from db.session import Database
from worker.engine.feature_packs import images_of
from worker.local_cache import discard
from worker.places import Places

_AT_ONCE = 500


class _Entry(NamedTuple):
    """An entry of a tenant's cache, and the values of a mapped column that rows must have."""

    path: Path
    column: Any
    values: Sequence[str]
    among: ColumnElement[bool]


def forget(database: Database, places: Places) -> int:
    """Delete what no row names, and workspaces that nobody holds; return how many are in use."""
    places.sweep()
    in_use = 0
    for cache in places.tenants():
        for entry in _entries(cache):
            with database.read() as session:
                is_dead = not _is_named(session, entry)
            in_use += is_dead and not discard(entry.path)
    return in_use


def _entries(cache: Path) -> Iterator[_Entry]:
    tenant_id = cache.name
    ready = (Dataset.tenant_id == tenant_id) & (Dataset.status == "ready")
    for path in cache.glob("packs/*"):
        # One that is being written, or never was to its end, is called `.<dataset>.<random>`.
        yield _Entry(path, Dataset.id, [path.name.strip(".").partition(".")[0]], ready)
    files = ModelFile.tenant_id == tenant_id
    for path in cache.glob("models/*.safetensors"):
        yield _Entry(path, ModelFile.sha256, [path.stem], files)
    images = Image.tenant_id == tenant_id
    for path in cache.glob("features/*/*.safetensors"):
        yield _Entry(path, Image.sha256, sorted(set(images_of(path))), images)


def _is_named(session: Session, entry: _Entry) -> bool:
    """Tell whether every value of an entry is in some row; one that has none is not."""
    for start in range(0, len(entry.values), _AT_ONCE):
        part = entry.values[start : start + _AT_ONCE]
        count = select(func.count(entry.column.distinct()))
        if session.scalar(count.where(entry.among, entry.column.in_(part))) != len(part):
            return False
    return bool(entry.values)
