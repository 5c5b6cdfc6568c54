"""The serving process's parts over a database with models of two merchants."""

import io
from collections.abc import Iterator, Sequence

import pytest
from flask.testing import FlaskClient
from PIL import Image
from werkzeug.test import TestResponse

from core.serving import Asked, Photo, authorization, written
from core.settings import Settings
from db.session import Database
from serve.app import NAME, Parts, close, create_app
from serve.settings import ServeSettings
from tests.conftest import fresh_url
from tests.support.served import SIDE, Shelf

RED, GREEN, BLUE = (220, 30, 20), (20, 210, 40), (10, 40, 230)


def photo(colour: tuple[int, int, int] = RED, kind: str = "PNG", side: int = 2 * SIDE) -> bytes:
    """Return an encoded photo of one colour."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(out, kind)
    return out.getvalue()


class Serving:
    """The application under test, asked as the API asks it."""

    def __init__(self, settings: Settings, database: Database, given: ServeSettings) -> None:
        self.app = create_app(settings, given, database)
        self.parts: Parts = self.app.extensions[NAME]
        self.client: FlaskClient = self.app.test_client()

    def ask(
        self,
        tenant_id: str,
        model_id: str,
        photos: Sequence[bytes],
        *,
        groups: Sequence[str | None] = (),
        route: str = "/predict",
        secret: str = "",
        **given: object,
    ) -> TestResponse:
        """Send photos, named `0`, `1` and so on."""
        named = [*groups, *[None] * (len(photos) - len(groups))]
        sent = tuple(
            Photo(name=str(number), group=group, size=len(data))
            for number, (data, group) in enumerate(zip(photos, named, strict=True))
        )
        values = {"tenant_id": tenant_id, "model_id": model_id, "photos": sent, "seconds": 20.0}
        asked = Asked.model_validate({**values, **given})
        headers = {"Authorization": authorization(secret)}
        return self.client.post(route, data=written(asked, photos), headers=headers)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLite alone: what differs between databases is below what is tested here."""
    with fresh_url("sqlite", request) as url:
        yield url


@pytest.fixture
def given() -> ServeSettings:
    """Settings for small machines; tests override some."""
    return ServeSettings(decoders=1, num_threads=1)


@pytest.fixture
def serving(settings: Settings, database: Database, given: ServeSettings) -> Iterator[Serving]:
    """The serving process over an empty database."""
    opened = Serving(settings, database, given)
    yield opened
    close(opened.app)


@pytest.fixture
def shelf(database: Database) -> Shelf:
    """Puts models into the database."""
    return Shelf(database)
