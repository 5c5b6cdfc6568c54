"""Pages: nothing twice, nothing missed, and no cursor but our own."""

import base64

import pytest

from core.refusals import InvalidError
from db.blobs import SqlBlobStore
from db.models import Image
from db.repositories import datasets
from db.repositories.datasets import NewDataset
from db.repositories.reading import Window
from db.session import Database
from regraft.contract.ids import new_id
from regraft.contract.verdict import Verdict
from tests.support.merchants import Merchant


def _create(database: Database, merchant: Merchant) -> str:
    container = SqlBlobStore(database).put_bytes(merchant.tenant_id, b"a container")
    with database.write() as session:
        new = NewDataset("set", container, {})
        return datasets.create(session, merchant.tenant_id, new).id


def test_pages_are_stable_while_rows_arrive(
    database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """A client that walks the list would see a dataset twice, or never."""
    made = [_create(database, acme) for _ in range(7)]
    _create(database, zenith)
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        with database.read() as session:
            page = datasets.listed(session, acme.tenant_id, Window(2, cursor))
        seen += [row.id for row in page.rows]
        _create(database, acme)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(made, reverse=True)


def test_images_keep_the_order_of_the_upload(
    database: Database, acme: Merchant, zenith: Merchant
) -> None:
    """A merchant could not match verdicts with files."""
    dataset_id = _create(database, acme)
    with database.write() as session:
        for seq in range(5):
            session.add(
                Image(
                    id=new_id("img"),
                    tenant_id=acme.tenant_id,
                    dataset_id=dataset_id,
                    seq=seq,
                    path=f"{9 - seq}.jpg",
                    verdict=Verdict.OK if seq % 2 else Verdict.CORRUPT,
                )
            )
    with database.read() as session:
        first = datasets.images(session, acme.tenant_id, dataset_id, None, Window(3, None))
        rest = datasets.images(
            session, acme.tenant_id, dataset_id, None, Window(3, first.next_cursor)
        )
        bad = datasets.images(
            session, acme.tenant_id, dataset_id, Verdict.CORRUPT, Window(100, None)
        )
    assert [row.seq for row in (*first.rows, *rest.rows)] == [0, 1, 2, 3, 4]
    assert [row.seq for row in bad.rows] == [0, 2, 4]
    assert rest.next_cursor is None


FORGED = (
    *("", "abc", "!!!!", "a" * 200, "\ud800", "é", "MQ==="),
    *(base64.urlsafe_b64encode(text).decode() for text in (b"' or 1=1", b"job_1", b"\xff")),
    base64.urlsafe_b64encode(new_id("job").encode()).decode(),
    base64.urlsafe_b64encode(b"-1").decode(),
    base64.urlsafe_b64encode(b"9" * 30).decode(),
    base64.urlsafe_b64encode("\u0661".encode()).decode(),
    base64.urlsafe_b64encode(b"0" * 20 + b"9" * 30).decode(),
    base64.urlsafe_b64encode(b"9" * 19).decode(),
)


def test_forged_cursors(database: Database, acme: Merchant) -> None:
    """A cursor made by hand would be a way into the query."""
    dataset_id = _create(database, acme)
    for cursor in FORGED:
        window = Window(10, cursor)
        with database.read() as session:
            with pytest.raises(InvalidError):
                datasets.listed(session, acme.tenant_id, window)
            with pytest.raises(InvalidError):
                datasets.images(session, acme.tenant_id, dataset_id, None, window)
