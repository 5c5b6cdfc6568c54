"""Valid requests with seeded damage: never a fault of ours, never a file left behind."""

import json
import random

from tests.support.api import Api, zipped
from tests.support.merchants import Merchant

ROUNDS = 150


def _damaged(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        if rng.random() < 0.5:
            changed[at : at + 1] = bytes([rng.randrange(256)])
        elif rng.random() < 0.5:
            del changed[at : at + rng.randint(1, 30)]
        else:
            start = rng.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + 20]
    return bytes(changed)


def _form(data: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    file = head % (b"file", b'; filename="a.zip"') + data + b"\r\n"
    return head % (b"name", b"") + b"set\r\n" + file + b"--x--\r\n"


def test_damaged_jobs(api: Api, acme: Merchant) -> None:
    """Some odd body would be a fault of ours, and wake somebody at night."""
    body = json.dumps(
        {
            "dataset": api.ready_dataset(acme),
            "name": "t\u00e9",
            "base": {"backbone": "efficientnet_lite0"},
            "hyperparameters": {"epochs": 5, "learning_rate": 0.1},
            "metadata": {"a": "b"},
        }
    ).encode()
    statuses = set()
    for seed in range(ROUNDS):
        data = _damaged(body, random.Random(seed))
        response = api.post("/v1/jobs", acme, data=data, content_type="application/json")
        assert response.status_code < 500, data
        statuses.add(response.status_code)
    assert {400, 422} <= statuses


def test_damaged_uploads(api: Api, acme: Merchant) -> None:
    """Some odd zip or form would be a fault of ours, or stay on the disk."""
    whole = _form(zipped())
    kind = "multipart/form-data; boundary=x"
    assert api.post("/v1/datasets", acme, data=whole, content_type=kind).status_code == 202
    statuses = set()
    for seed in range(ROUNDS):
        data = _damaged(whole, random.Random(seed))
        response = api.post("/v1/datasets", acme, data=data, content_type=kind)
        assert response.status_code < 500, data
        statuses.add(response.status_code)
        assert api.stray_files() == []
    assert {400, 422} <= statuses
