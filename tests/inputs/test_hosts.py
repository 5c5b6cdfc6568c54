"""Names that a request may call the service by."""

import pytest

from core.settings import Settings
from db.session import Database
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, settings: Settings, database: Database) -> Api:
    """The application under two names of its own."""
    monkeypatch.setenv("REGRAFT_API_ALLOWED_HOSTS", "regraft.example, .shops.example")
    return Api(settings, database)


@pytest.mark.parametrize(
    "host",
    [
        *("evil", "evil.example", "regraft.example.evil.com", "shopsxexample", "127.0.0.1"),
        *("regraft.example:8080@evil.com", "regraft.example, evil.com", "", " "),
    ],
)
def test_another_name_is_refused(named: Api, acme: Merchant, host: str) -> None:
    """A page of a stranger's site could reach the service under a name of its own."""
    response = named.get("/v1/jobs", acme, headers={"Host": host})
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_request", "Host")
    assert error["remedy"]


@pytest.mark.parametrize("host", ["regraft.example", "REGRAFT.example:8443", "acme.shops.example"])
def test_its_own_names_are_served(named: Api, acme: Merchant, host: str) -> None:
    """The service would refuse everybody."""
    assert named.get("/v1/jobs", acme, headers={"Host": host}).status_code == 200


def test_probes_come_under_any_name(named: Api) -> None:
    """A cluster asks by address, and would end a healthy process."""
    assert named.get("/healthz", None, headers={"Host": "10.1.2.3:8080"}).status_code == 200
