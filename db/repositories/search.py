"""What a search needs of the database: a model to see with, stored features, and the images found.

Every query names the merchant, and the dataset besides: what is found elsewhere is not looked at.
"""

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy.orm import Session

from core.refusals import ConflictError, RefusedError
from db.models import FeatureImage, FeaturePack, Image, Job, Model
from db.repositories import datasets, models
from db.tenancy import scoped
from regraft.contract.errors import ErrorCode
from regraft.contract.verdict import KEPT

_AT_ONCE = 5000


class Space(NamedTuple):
    """Where vectors are comparable: a model to see a query with, and the key of stored features."""

    model_id: str
    key: str


class Pack(NamedTuple):
    """A stored pack of features: the hash of its blob."""

    sha256: str


class Sought(NamedTuple):
    """An image that can be found: its id, the hash of its bytes, and its product."""

    id: str
    sha256: str
    group: str | None


def space(session: Session, tenant_id: str, dataset_id: str, reference: str | None) -> Space:
    """Return the space of a model: the one named, or the newest that was trained on the dataset.

    Raises `NotFoundError`, `ConflictError` for a dataset that is not ready, or
    `dataset_not_indexed` where no model is named and none was trained on it.
    """
    dataset = datasets.find(session, tenant_id, dataset_id)
    if dataset.status != "ready":
        message = f"The dataset is {dataset.status}, not ready."
        raise ConflictError(message, code=ErrorCode.DATASET_NOT_READY)
    if reference is not None:
        model = models.find(session, tenant_id, reference, param="model")
    else:
        trained = (
            scoped(Model, tenant_id)
            .join(Job, Job.id == Model.job_id)
            .where(Job.dataset_id == dataset_id, Model.deleted_at.is_(None))
            .order_by(Model.created_at.desc(), Model.id.desc())
        )
        newest = session.scalars(trained.limit(1)).one_or_none()
        if newest is None:
            message = "No model was trained on this dataset, and `model` names none."
            raise RefusedError(ErrorCode.DATASET_NOT_INDEXED, message, "model")
        model = newest
    return Space(model.id, str(model.lineage.get("features_key", "")))


def packs(session: Session, tenant_id: str, dataset_id: str, key: str) -> list[Pack]:
    """Return the stored packs of a key that hold an image of a dataset."""
    images = scoped(Image, tenant_id).where(Image.dataset_id == dataset_id)
    holding = scoped(FeatureImage, tenant_id).where(
        FeatureImage.image_sha256.in_(images.with_only_columns(Image.sha256))
    )
    query = scoped(FeaturePack, tenant_id).where(
        FeaturePack.key == key,
        FeaturePack.id.in_(holding.with_only_columns(FeatureImage.pack_id)),
    )
    return [Pack(row.sha256) for row in session.scalars(query.order_by(FeaturePack.id))]


def sought(session: Session, tenant_id: str, dataset_id: str) -> Iterator[Sought]:
    """Yield the images of a dataset that can be found, in their order."""
    kept = (
        scoped(Image, tenant_id)
        .where(Image.dataset_id == dataset_id, Image.verdict.in_(KEPT))
        .with_only_columns(Image.id, Image.sha256, Image.product_group)
        .order_by(Image.seq)
        .execution_options(yield_per=_AT_ONCE)
    )
    for row in session.execute(kept):
        yield Sought(row[0], str(row[1]), row[2])


def named(
    session: Session, tenant_id: str, dataset_id: str, ids: Collection[str]
) -> dict[str, Image]:
    """Return images of a dataset by id; ids of anything else are left out."""
    query = scoped(Image, tenant_id).where(Image.dataset_id == dataset_id, Image.id.in_(list(ids)))
    return {image.id: image for image in session.scalars(query)}
