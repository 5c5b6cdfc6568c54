"""Search: which images of a dataset look most like the product that photos show."""

from pydantic import Field

from api import photos
from api.routing import Call, Query, Routes
from api.views.predictions import ERRORS, HEADERS
from core.refusals import InvalidError
from core.serving import Neighbours, Sought
from db.models import Image
from db.repositories import search
from regraft.contract.errors import ErrorCode
from regraft.contract.prediction import MAX_TOP
from regraft.contract.refs import ModelReference
from regraft.contract.search import Search, SearchResult

routes = Routes()
_ERRORS = (
    *ERRORS,
    ErrorCode.NOT_FOUND,
    ErrorCode.DATASET_NOT_READY,
    ErrorCode.DATASET_NOT_INDEXED,
)


class SearchQuery(Query):
    """How many images to return, each product once with `group`, seen by which model.

    Without `model` it is the newest that was trained on the dataset.
    """

    top: int = Field(default=10, ge=1, le=MAX_TOP)
    group: bool = False
    model: ModelReference | None = None


@routes.add(
    "POST",
    "/v1/datasets/{dataset_id}/search",
    Search,
    errors=_ERRORS,
    form=photos.ONE_PRODUCT,
    headers=HEADERS,
    gate="predictions",
)
def search_dataset(call: Call, dataset_id: str, query: SearchQuery) -> Search:
    """Find the images of a dataset that look most like what photos show, all of one product.

    Features of the dataset's images are compared by their cosine with the mean of the photos'. A
    training or a batch on the dataset stores them. Photos that cannot be read are left out and
    listed in `errors`.
    """
    with call.database.read() as session:
        space = search.space(session, call.tenant_id, dataset_id, query.model)
    named, content = photos.received(call.services)
    if any(photo.group is not None for photo in named):
        raise InvalidError("groups", "is not a field of this route", "extra_forbidden")
    sought = Sought(
        tenant_id=call.tenant_id,
        model_id=space.model_id,
        photos=named,
        top=query.top,
        seconds=call.services.settings.serving.seconds,
        dataset_id=dataset_id,
        key=space.key,
        collapse=query.group,
    )
    found = call.services.serving.search(sought, content)
    with call.database.read() as session:
        ids = [hit.image for hit in found.hits]
        images = search.named(session, call.tenant_id, dataset_id, ids)
    return _shown(dataset_id, space.model_id, found, images)


def _shown(dataset_id: str, model_id: str, found: Neighbours, images: dict[str, Image]) -> Search:
    """Return what was found; an image that is not the merchant's, or no more, is left out."""
    results = [
        _result(dataset_id, images[hit.image], hit.score)
        for hit in found.hits
        if hit.image in images
    ]
    return Search(
        dataset=dataset_id,
        model=model_id,
        num_images=found.num_images,
        num_missing=found.num_missing,
        exact=found.exact,
        recall=found.recall,
        results=results,
        errors=list(found.errors),
    )


def _result(dataset_id: str, image: Image, score: float) -> SearchResult:
    return SearchResult(
        image=image.id,
        name=image.path,
        group=image.product_group,
        label=image.label,
        score=score,
        url=f"/v1/datasets/{dataset_id}/images/{image.id}",
    )
