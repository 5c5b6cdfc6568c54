"""The published document and the application are one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from api.app import create_app
from api.openapi import errors_of
from api.routing import Route
from core.settings import Settings
from regraft.contract.errors import RECORDS, ErrorCode
from regraft.contract.webhooks import WebhookEvent, WebhookEventType
from tests.support.api import Api
from tests.support.merchants import Merchant

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """An application whose database is never opened."""
    return create_app(Settings(home=tmp_path))


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    """The document as the service shows it."""
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found


def test_the_committed_document_is_the_served_one(app: Flask) -> None:
    """A change of the contract would reach merchants without anyone having read it.

    Refresh it with `python -m api.openapi > docs/openapi.json`.
    """
    assert app.test_client().get("/openapi.json").text == COMMITTED.read_text()


def test_every_route_is_there_and_no_other(app: Flask, document: dict[str, Any]) -> None:
    """A route could be used that nobody documented, or documented that nobody made."""
    served = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    documented = {
        (path, method) for path, methods in document["paths"].items() for method in methods
    }
    assert served == documented
    assert len(served) >= 63


def test_every_operation_is_whole(app: Flask, document: dict[str, Any]) -> None:
    """A client made from the document would not know an answer when it sees it."""
    for route in _routes(app):
        operation = document["paths"][route.path][route.method.lower()]
        assert operation["summary"]
        documented = {
            code
            for answer in operation["responses"].values()
            for code in answer.get("content", {}).get("application/json", {}).get("examples", {})
        }
        assert documented == {code.value for code in errors_of(route)}
        for code in documented:
            assert str(RECORDS[ErrorCode(code)].http_status) in operation["responses"]
        if route.returns is not None:
            content = operation["responses"][str(route.status)]["content"]["application/json"]
            route.returns.model_validate(content["example"])


def test_what_is_sent_to_merchants_is_there(document: dict[str, Any]) -> None:
    """A receiver would be written from guesses."""
    assert set(document["webhooks"]) == {*map(str, WebhookEventType), "webhook.test"}
    for kind, methods in document["webhooks"].items():
        content = methods["post"]["requestBody"]["content"]["application/json"]
        assert WebhookEvent.model_validate(content["example"]).type == kind
        assert content["schema"]["$ref"].endswith("/WebhookEvent")
        assert len(methods["post"]["parameters"]) == 3


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    """Generators of clients would stop at the first loose end."""
    schemas = document["components"]["schemas"]
    names = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert names <= set(schemas)
    assert {"Job", "Dataset", "Model", "ErrorEnvelope", "JobSubmission"} <= names


def test_answers_match_their_schemas(api: Api, acme: Merchant) -> None:
    """A field that is missing, rather than null, breaks clients in typed languages."""
    trained = api.trained(acme, {"model.onnx": [b"x"]})
    for path, given in (
        ("/v1/jobs/{job_id}", {"job_id": trained.job_id}),
        ("/v1/datasets/{dataset_id}", {"dataset_id": trained.dataset_id}),
        ("/v1/models/{ref}", {"ref": trained.model_id}),
        ("/v1/jobs", {}),
        ("/v1/catalog/strategies", {}),
    ):
        (route,) = (
            found for found in _routes(api.app) if (found.method, found.path) == ("GET", path)
        )
        body = api.get(path.format(**given), acme).get_json()
        assert route.returns is not None
        assert set(body) == set(route.returns.model_fields)


def _routes(app: Flask) -> list[Route]:
    return [route for route in app.view_functions.values() if isinstance(route, Route)]
