"""What every answer has in common, whatever was asked."""

import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import event, text

from api.app import create_app
from api.services import NAME
from core.settings import Settings
from db.session import Database
from tests.support.api import Api, error_of, zipped
from tests.support.merchants import Merchant, create

ROOT = Path(__file__).parents[2]


def test_every_answer_carries_ids_and_headers(api: Api, acme: Merchant) -> None:
    """A merchant could not name the request that failed; a browser would guess types."""
    for path in ("/healthz", "/v1/whoami", "/nowhere", "/v1/jobs/x"):
        response = api.get(path, acme)
        assert response.headers["X-Request-Id"].startswith("req_")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Frame-Options"] == "DENY"


def test_a_sane_request_id_is_kept(api: Api) -> None:
    """Traces across services would break; a forged id would break the log lines."""
    for given, kept in {"abc-1.2:3": True, "a b": False, "x" * 200: False, "\u00e9": False}.items():
        response = api.get("/healthz", None, headers={"X-Request-Id": given})
        assert (response.headers["X-Request-Id"] == given) is kept


def test_unknown_addresses(api: Api, acme: Merchant) -> None:
    """A client would have to parse HTML to learn that it misspelt an address."""
    for path in ("/", "/v1", "/v1/nothing", "/v1/jobs/", "//v1/jobs", "/v1/%00"):
        response = api.get(path, acme)
        assert (path, response.status_code) == (path, 404)
        assert error_of(response)["code"] == "not_found"


def test_wrong_methods(api: Api, acme: Merchant) -> None:
    """A client would not learn which methods there are."""
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        response = api.send(method, "/v1/jobs", acme)
        assert response.status_code == 405
        assert error_of(response)["code"] == "method_not_allowed"
        assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_a_fault_of_ours_shows_nothing(api: Api, acme: Merchant) -> None:
    """A stack trace would show a stranger how the service is built."""
    with api.database.write() as session:
        session.execute(text("UPDATE api_key SET scopes = '5'"))
    response = api.get("/v1/whoami", acme)
    assert response.status_code == 500
    error = error_of(response)
    assert (error["code"], error["type"]) == ("internal", "service_error")
    assert "int" not in error["message"]


def test_health_needs_no_key_and_readiness_needs_a_schema(api: Api, owner: Database) -> None:
    """A load balancer would send merchants to a process that cannot serve them."""
    assert api.get("/healthz", None).get_json() == {"status": "ok"}
    assert api.get("/readyz", None).get_json() == {"status": "ready"}
    with owner.write() as session:
        session.execute(text("DROP TABLE alembic_version"))
    response = api.get("/readyz", None)
    assert response.status_code == 503
    assert error_of(response)["code"] == "unavailable"
    assert api.get("/healthz", None).status_code == 200


def test_a_database_that_is_away(settings: Settings, tmp_path: Path) -> None:
    """A merchant would see a fault of ours where trying again helps."""
    for url in (
        "postgresql+psycopg://postgres@/none?host=/nowhere",
        f"sqlite:///{tmp_path}/no/folder/regraft.db",
    ):
        database = Database(url)
        app = create_app(settings, database)
        client = app.test_client()
        headers = {"Authorization": f"Bearer rg_00000000_{'a' * 43}"}
        for path in ("/readyz", "/v1/jobs"):
            response = client.get(path, headers=headers)
            assert response.status_code == 503
            assert error_of(response)["code"] == "unavailable"
            assert int(response.headers["Retry-After"]) > 0
        assert client.get("/healthz").status_code == 200
        database.dispose()
        app.extensions[NAME].merchants.dispose()


def test_a_full_database(sqlite_template: Path, tmp_path: Path) -> None:
    """An upload would be half stored, or look like a fault that passes."""
    url = f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'regraft.db')}"
    roomy, small = Database(url), Database(url)
    merchant = create(roomy, "Acme")
    roomy.dispose()
    event.listen(small.engine, "connect", _cap_pages)
    api = Api(Settings(home=tmp_path), small)
    before = api.row_counts()
    body = {f"{label}/a.jpg": random.Random(label).randbytes(200_000) for label in "ab"}
    response = api.upload(merchant, zipped(body))
    assert response.status_code == 507
    assert error_of(response)["code"] == "storage_full"
    assert api.row_counts() == before
    assert api.stray_files() == []
    small.dispose()


def _cap_pages(connection: Any, _record: object) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages + 5}")


def test_whoami(api: Api, acme: Merchant) -> None:
    """A merchant could not tell which account a key belongs to."""
    found = api.get("/v1/whoami", acme).get_json()
    assert found.pop("key").startswith("key_")
    unlimited = {"used": 0.0, "limit": None, "left": None}
    names = ("stored_bytes", "jobs_queued", "jobs_running", "device_minutes")
    assert found.pop("quotas") == [{"name": name, **unlimited} for name in names]
    assert found == {
        "object": "whoami",
        "merchant": acme.tenant_id,
        "merchant_name": acme.name,
        "scopes": ["read", "write"],
    }


def test_no_torch_and_no_queue() -> None:
    """The API image has neither, and would not start."""
    code = (
        "import api.app, api.wsgi, sys;"
        "assert not {'torch', 'celery', 'kombu', 'redis'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
