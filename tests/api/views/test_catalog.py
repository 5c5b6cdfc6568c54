"""The catalogue over HTTP."""

from regraft.contract.catalog import BACKBONES, STRATEGIES
from regraft.contract.ids import new_id
from regraft.contract.job import JobSpec
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant


def test_what_is_listed_can_be_trained(api: Api, acme: Merchant) -> None:
    """A merchant would choose from the list and be refused."""
    backbones = api.get("/v1/catalog/backbones", acme).get_json()["data"]
    assert [entry["name"] for entry in backbones] == list(BACKBONES)
    strategies = api.get("/v1/catalog/strategies", acme).get_json()["data"]
    assert [entry["type"] for entry in strategies] == list(STRATEGIES)
    for entry in strategies:
        named = {"dataset": new_id("ds"), "source_dataset": new_id("ds")}
        JobSpec.model_validate({**named, "strategy": entry["defaults"]})
        assert entry["json_schema"]["properties"]["type"]["const"] == entry["type"]


def test_the_catalogue_is_one_page(api: Api, acme: Merchant) -> None:
    """A client that follows cursors would loop."""
    response = api.get("/v1/catalog/backbones?cursor=eA", acme)
    assert (response.status_code, error_of(response)["param"]) == (422, "cursor")
