"""Vectors in memory: of a stated size, shared fairly, read again where some were missing."""

from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import select

from core.refusals import RefusedError
from db.models import Image
from db.session import Database
from regraft.contract.errors import ErrorCode
from serve import vectors
from serve.settings import ServeSettings
from serve.vectors import Place, Shelves
from tests.support.features import KEY, store_features
from tests.support.jobs import ready_dataset
from tests.support.merchants import Merchant

WIDTH = 4
NUM_IMAGES = 4
SIZE = NUM_IMAGES * (2 * WIDTH + 64)  # of one dataset in memory


def stored(database: Database, merchant: Merchant, count: int = NUM_IMAGES) -> Place:
    """Store features of some images of a new dataset."""
    dataset = ready_dataset(database, merchant.tenant_id, NUM_IMAGES)
    with database.read() as session:
        query = select(Image.sha256).where(Image.dataset_id == dataset).order_by(Image.seq)
        hashes = [str(sha256) for sha256 in session.scalars(query)]
    rows = {one: np.eye(WIDTH, dtype=np.float32)[n] for n, one in enumerate(hashes[:count])}
    store_features(database, merchant.tenant_id, rows)
    return Place(merchant.tenant_id, dataset, KEY, WIDTH)


@pytest.fixture
def shelves(database: Database) -> Iterator[Shelves]:
    """Room for four datasets, of one merchant for two."""
    opened = Shelves(database, ServeSettings(vector_bytes=4 * SIZE))
    yield opened
    opened.close()


def test_a_merchant_takes_half_of_the_memory_at_most(
    shelves: Shelves, database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """One merchant's many datasets would push out every other's."""
    theirs = stored(database, zenith)
    kept = shelves.vectors(theirs, 10)
    mine = [stored(database, acme) for _ in range(3)]
    first, second, _ = (shelves.vectors(place, 10) for place in mine)
    assert shelves.vectors(theirs, 10) is kept
    assert shelves.vectors(mine[1], 10) is second
    assert shelves.vectors(mine[0], 10) is not first


def test_a_dataset_that_needs_more_is_refused(database: Database, acme: Merchant) -> None:
    """One search would take the memory of the serving process."""
    small = Shelves(database, ServeSettings(vector_bytes=SIZE))
    with pytest.raises(RefusedError) as refused:
        small.vectors(stored(database, acme), 10)
    assert refused.value.code is ErrorCode.NOT_SERVABLE
    small.close()


def test_a_merchant_reads_no_other_merchants_features(
    shelves: Shelves, database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """Features of the same photo under a rival's key would be used, or its dataset read."""
    theirs = stored(database, zenith)
    with pytest.raises(RefusedError) as refused:
        shelves.vectors(theirs._replace(tenant_id=acme.tenant_id), 10)
    assert refused.value.code is ErrorCode.DATASET_NOT_INDEXED
    mine = ready_dataset(database, acme.tenant_id, NUM_IMAGES)  # the same photos
    with pytest.raises(RefusedError) as refused:
        shelves.vectors(Place(acme.tenant_id, mine, KEY, WIDTH), 10)
    assert refused.value.code is ErrorCode.DATASET_NOT_INDEXED


def test_what_was_missing_is_looked_for_again(
    shelves: Shelves, database: Database, acme: Merchant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch would finish, and the search never see what it computed."""
    place = stored(database, acme, 2)
    assert shelves.vectors(place, 10).num_missing == 2
    with database.read() as session:
        query = select(Image.sha256).where(Image.dataset_id == place.dataset_id)
        rows = {str(one): np.ones(WIDTH, dtype=np.float32) for one in session.scalars(query)}
    store_features(database, acme.tenant_id, rows)
    assert shelves.vectors(place, 10).num_missing == 2
    monkeypatch.setattr(vectors, "_STALE_SECONDS", 0.0)
    assert shelves.vectors(place, 10).num_missing == 0
