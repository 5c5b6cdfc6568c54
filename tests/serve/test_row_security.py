"""The serving process under the role that row-level security holds to one merchant at a time."""

from collections.abc import Iterator

import pytest

from core.settings import Settings
from db.session import Database
from serve.app import close
from serve.settings import ServeSettings
from tests.conftest import fresh_url
from tests.serve.conftest import RED, Serving, photo
from tests.support.merchants import Merchant
from tests.support.served import Shelf, tiny_backbone


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """PostgreSQL, which knows roles."""
    with fresh_url("postgresql", request) as url:
        yield url


def test_it_needs_no_more_rights(
    settings: Settings,
    database: Database,
    given: ServeSettings,
    acme: Merchant,
    zenith: Merchant,
) -> None:
    """A process that decodes strangers' files would hold the right to read every merchant's."""
    assert settings.app_url != settings.url
    held = Database(settings.app_url)
    serving = Serving(settings, held, given)
    shelf = Shelf(database)
    shared = shelf.add(acme.tenant_id)
    own = shelf.add(acme.tenant_id, own_backbone=tiny_backbone())
    for model_id in (shared, own):
        rows = serving.ask(acme.tenant_id, model_id, [photo(RED)]).get_json()["results"]
        assert [row["label"] for row in rows] == ["red"]
        assert serving.ask(zenith.tenant_id, model_id, [photo(RED)]).status_code == 404
    assert serving.client.get("/readyz").status_code == 204
    close(serving.app)
    held.dispose()
