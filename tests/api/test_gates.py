"""Places for slow requests: who is let in, and that places come back."""

import pytest

from api.gates import Gate
from core.blobs import CHUNK_BYTES
from core.refusals import RefusedError
from regraft.contract.errors import ErrorCode
from tests.support.api import Api, error_of
from tests.support.merchants import Merchant


def test_one_merchant_leaves_places_for_others() -> None:
    """One merchant's bulk upload would lock all others out."""
    gate = Gate("uploads", 4)
    gate.enter("acme")
    gate.enter("acme")
    with pytest.raises(RefusedError, match="You have 2 uploads") as caught:
        gate.enter("acme")
    assert caught.value.code is ErrorCode.UNAVAILABLE
    gate.enter("zenith")
    gate.enter("zenith")
    with pytest.raises(RefusedError, match="The service has 4 uploads"):
        gate.enter("third")
    gate.leave("acme")
    gate.enter("third")


def test_a_place_comes_back_after_a_failure() -> None:
    """After a few failed uploads nobody could upload until the next restart."""
    gate = Gate("uploads", 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), gate.held("acme"):
            raise ZeroDivisionError
    gate.enter("acme")


def test_places_of_downloads_come_back(api: Api, acme: Merchant) -> None:
    """After a few downloads nobody could download until the next restart."""
    trained = api.trained(acme, {"model.onnx": [b"x" * CHUNK_BYTES]})
    path = f"/v1/models/{trained.model_id}/files/model.onnx"
    for asked in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=9999999-"}, {"If-None-Match": "*"}):
        for method in ("GET", "HEAD"):
            for _ in range(5):
                with api.send(method, path, acme, headers=asked) as response:
                    assert response.status_code in {200, 206, 304, 416}
    open_ones = [api.get(path, acme) for _ in range(5)]
    assert [one.status_code for one in open_ones] == [200] * 4 + [503]
    assert error_of(open_ones[-1])["code"] == "unavailable"
    assert open_ones[-1].headers["Retry-After"]
    for one in open_ones:
        one.close()
    assert api.get(path, acme).status_code == 200
