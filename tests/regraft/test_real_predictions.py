"""The client and the command line ask real models: API, serving process and photos over HTTP."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner
from werkzeug.serving import make_server

from api.app import create_app
from core.settings import Serving as ServingSettings
from core.settings import Settings
from db.models import Image, Model
from db.session import Database
from regraft.cli.app import app as cli
from regraft.client import Client, InvalidInput, NotFoundError
from tests.conftest import fresh_url
from tests.regraft.standin import Quiet
from tests.serve.conftest import BLUE, RED, photo
from tests.support.features import KEY, store_features
from tests.support.jobs import ready_dataset
from tests.support.merchants import Merchant
from tests.support.served import Shelf, listening


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """SQLite alone: what differs between databases is below what is tested here."""
    with fresh_url("sqlite", request) as url:
        yield url


@pytest.fixture
def url(settings: Settings, database: Database) -> Iterator[str]:
    """The address of the real API, which reaches a real serving process."""
    with listening(settings, database) as serve:
        given = settings.model_copy(update={"serving": ServingSettings(url=serve)})
        server = make_server(
            "127.0.0.1", 0, create_app(given, database), threaded=True, request_handler=Quiet
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
        server.server_close()


def test_photos_are_recognised(
    url: str, acme: Merchant, zenith: Merchant, database: Database, tmp_path: Path
) -> None:
    """A merchant's engineer has files or bytes, and wants labels or vectors."""
    model = Shelf(database).add(acme.tenant_id)
    (tmp_path / "shoe.jpg").write_bytes(photo(RED, "JPEG"))
    with Client(url, acme.key) as client:
        found = client.models.predict(model, [tmp_path / "shoe.jpg", photo(BLUE), b"x"], top=2)
        assert [row.image for row in found.results] == ["shoe.jpg", "1", "2"]
        assert [row.label for row in found.results] == ["red", "blue", None]
        assert found.results[2].error is not None
        assert found.results[2].error.code == "not_an_image"
        grouped = client.models.predict(model, [photo(RED)] * 2, groups=["SKU-1", "SKU-1"])
        assert [row.num_images for row in grouped.results] == [2]
        pooled = client.models.embed(model, [photo(RED), photo(BLUE)], pool=True)
        assert [len(row.vector or ()) for row in pooled.results] == [3]
        found_in = client.datasets.search(_searchable(database, acme), [photo(RED)], model=model)
        assert [row.score for row in found_in.results][:1] == [pytest.approx(1.0, abs=0.01)]
        with pytest.raises(InvalidInput, match="cannot be read"):
            client.models.predict(model, [tmp_path / "none.jpg"])
    with Client(url, zenith.key) as other, pytest.raises(NotFoundError):
        other.models.predict(model, [photo(RED)])


def test_the_command_line_says_the_same(
    url: str,
    acme: Merchant,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A script must see in the exit code that a photo had no answer."""
    model = Shelf(database).add(acme.tenant_id, thresholds=(0.5, 0.5, None))
    good, bad = tmp_path / "shoe.png", tmp_path / "notes.txt"
    good.write_bytes(photo(RED))
    bad.write_text("x")
    monkeypatch.setenv("REGRAFT_URL", url)
    monkeypatch.setenv("REGRAFT_API_KEY", acme.key)
    ran = CliRunner().invoke(cli, ["models", "predict", model, str(good), str(bad)])
    assert ran.exit_code == 1
    assert "abstains, perhaps red" in ran.stdout
    assert "error: The file is not an image." in ran.stdout
    ran = CliRunner().invoke(cli, ["models", "embed", model, str(good), "--json"])
    assert ran.exit_code == 0
    answer = json.loads(ran.stdout[ran.stdout.index("{\n") :])  # the API logs to this stream too
    assert len(answer["results"][0]["vector"]) == 3
    ran = CliRunner().invoke(cli, ["models", "embed", model, str(good), str(good), "--pool"])
    assert "2 photos" in ran.stdout
    dataset = _searchable(database, acme)
    ran = CliRunner().invoke(cli, ["search", dataset, str(good), "--model", model])
    assert (ran.exit_code, "mug/0.png" in ran.stdout) == (0, True), ran.output
    ran = CliRunner().invoke(cli, ["search", dataset, str(good), str(bad), "--model", model])
    assert ran.exit_code == 1
    assert "The file is not an image." in ran.stdout


def _searchable(database: Database, merchant: Merchant) -> str:
    """Return a dataset whose first image has features that look red to every model here."""
    dataset = ready_dataset(database, merchant.tenant_id)
    with database.write() as session:
        lineage = {"features_key": KEY}
        mine = Model.tenant_id == merchant.tenant_id
        session.execute(update(Model).where(mine).values(lineage=lineage))
        images = session.scalars(
            select(Image.sha256).where(Image.dataset_id == dataset).order_by(Image.seq)
        ).all()
    rows = {str(sha256): np.array(RED, dtype=np.float32) / 127.5 - 1 for sha256 in images[:1]}
    store_features(database, merchant.tenant_id, rows)
    return dataset
