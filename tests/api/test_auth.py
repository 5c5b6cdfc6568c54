"""Who is let in, and how little the others learn."""

from db.session import Database
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant, create

USELESS = (
    *("", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer rg_short", "Token rg_00000000_x"),
    *(f"Bearer rg_00000000_{'a' * 43}", f"rg_00000000_{'a' * 43}", "Bearer \u00e9"),
    f"Bearer rg_00000000_{'a' * 43}, Bearer x",
)


def _scrubbed(api: Api, authorization: str | None) -> dict[str, object]:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = api.get("/v1/jobs", None, headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    return {**error_of(response), "request_id": None}


def test_useless_keys_are_all_answered_alike(api: Api, acme: Merchant) -> None:
    """The answer would tell a stranger which part of a key was right."""
    wrong_secret = acme.key[:-5] + "aaaaa"
    expected = _scrubbed(api, None)
    for authorization in (*USELESS, f"Bearer {wrong_secret}"):
        assert _scrubbed(api, authorization) == expected


def test_a_key_in_the_address_is_no_key(api: Api, acme: Merchant) -> None:
    """Keys in addresses end in every log on the way."""
    for name in ("key", "api_key", "access_token"):
        assert api.get(f"/v1/jobs?{name}={acme.key}", None).status_code == 401


def test_scopes(api: Api, database: Database) -> None:
    """A read-only key in a dashboard could start trainings."""
    reader, writer = create(database, "R", ("read",)), create(database, "W", ("write",))
    before = api.row_counts()
    assert api.get("/v1/jobs", reader).status_code == 200
    assert api.post("/v1/jobs", writer, json={}).status_code == 422
    for scope, response in {
        "write": api.post("/v1/jobs", reader, json={}),
        "read": api.get("/v1/jobs", writer),
    }.items():
        assert response.status_code == 403
        error = error_of(response)
        assert error["code"] == "insufficient_scope"
        assert scope in error["message"]
    assert api.row_counts() == before
