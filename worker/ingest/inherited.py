"""What a version of a dataset shares with its parent: rows with their changes, and no bytes.

May import db and regraft.contract.
"""

from typing import Any

from sqlalchemy import select

from db.models import Dataset, Image
from db.session import Database
from regraft.contract.verdict import KEPT, Verdict
from worker.ingest.messages import Checked


def inherited(database: Database, dataset: Dataset) -> list[Checked]:
    """Return the parent's images as this version has them, in the parent's order; none without.

    What the parent left out is not taken over: nothing of it is stored.
    """
    if dataset.parent_id is None:
        return []
    changes: dict[str, Any] = dataset.changes or {}
    relabel: dict[str, str | None] = changes.get("relabel", {})
    removed = set(changes.get("remove", ()))
    kept = select(Image).where(
        Image.tenant_id == dataset.tenant_id,
        Image.dataset_id == dataset.parent_id,
        Image.verdict.in_(KEPT),
    )
    with database.read() as session:
        images = session.scalars(kept.order_by(Image.seq)).all()
    stays = (image for image in images if image.id not in removed)
    return [_checked(at, image, relabel) for at, image in enumerate(stays)]


def _checked(at: int, image: Image, relabel: dict[str, str | None]) -> Checked:
    return Checked(
        index=at,
        path=image.path,
        label=relabel.get(image.id, image.label),
        group=image.product_group,
        split=image.split,
        verdict=Verdict.OK,
        sha256=image.sha256,
        # One that was checked before contents were noted is at least the same as itself.
        content=image.content or image.sha256,
        thumbnail=image.thumbnail_sha256,
        width=image.width,
        height=image.height,
    )
