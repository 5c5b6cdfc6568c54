"""Erasures: preview one, ask for it, call it off, and read the record of what was deleted."""

from flask import Response

from api import repeatable, shown
from api.routing import Call, PageQuery, Query, Routes
from db.repositories import called_off, erasures
from db.repositories.idempotency import Transaction
from db.repositories.reading import Window
from regraft.contract.erasure import Erasure, ErasurePreview, ErasureRequest, Models
from regraft.contract.errors import ErrorCode
from regraft.contract.resources import Page

routes = Routes()


class DeleteQuery(Query):
    """What becomes of the models that were trained on a dataset."""

    models: Models = "keep"


@routes.add(
    "DELETE",
    "/v1/datasets/{dataset_id}",
    Erasure,
    scope="write",
    status=202,
    errors=(ErrorCode.IN_USE,),
)
def delete_dataset(call: Call, dataset_id: str, query: DeleteQuery) -> Erasure:
    """Erase a dataset: it is gone for use at once, and its bytes once the erasure is `done`."""
    wanted = ErasureRequest(dataset=dataset_id, models=query.models)
    with call.database.write() as session:
        return shown.erasure(erasures.request(session, call.tenant_id, wanted, call.actor))


@routes.add("POST", "/v1/erasures/preview", ErasurePreview)
def preview_erasure(call: Call, body: ErasureRequest) -> ErasurePreview:
    """Show what an erasure would take and what stands in its way, without doing it."""
    with call.database.read() as session:
        return shown.erasure_preview(erasures.preview(session, call.tenant_id, body), body)


@routes.add(
    "POST",
    "/v1/erasures",
    Erasure,
    scope="write",
    status=202,
    errors=(ErrorCode.NOT_FOUND, ErrorCode.IN_USE),
    repeatable=True,
)
def request_erasure(call: Call, body: ErasureRequest) -> Response:
    """Erase a dataset, as its `DELETE` does; one that failed is tried again."""

    def create(session: Transaction) -> Erasure:
        asked = erasures.request(session, call.tenant_id, body, call.actor, param="dataset")
        return shown.erasure(asked)

    return repeatable.once(call, repeatable.claim(body.model_dump(mode="json")), 202, create)


@routes.add("GET", "/v1/erasures", Page[Erasure])
def list_erasures(call: Call, query: PageQuery) -> Page[Erasure]:
    """List the records of erasures, newest first; they stay."""
    window = Window(query.limit, query.cursor)
    with call.database.read() as session:
        rows = erasures.listed(session, call.tenant_id, window)
    return shown.page(rows, shown.erasure)


@routes.add("GET", "/v1/erasures/{erasure_id}", Erasure)
def show_erasure(call: Call, erasure_id: str) -> Erasure:
    """Show one erasure: how far it is, and what it has deleted."""
    with call.database.read() as session:
        return shown.erasure(erasures.show(session, call.tenant_id, erasure_id))


@routes.add(
    "DELETE",
    "/v1/erasures/{erasure_id}",
    Erasure,
    scope="write",
    errors=(ErrorCode.CONFLICT,),
)
def cancel_erasure(call: Call, erasure_id: str) -> Erasure:
    """Call an erasure off while it is `queued`: the dataset and its models are as before."""
    with call.database.write() as session:
        found = called_off.call_off(session, call.tenant_id, erasure_id, call.actor)
        return shown.erasure(found)
