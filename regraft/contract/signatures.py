"""The signature of a webhook, as Standard Webhooks 1.0 says; standard library alone.

`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, the key being what stands behind
`whsec_` in base64 (https://github.com/standard-webhooks/standard-webhooks).
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
_VERSION = "v1,"


def secret_of(key: bytes) -> str:
    """Return a key as the text that a merchant is shown."""
    return PREFIX + base64.b64encode(key).decode()


def sign(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of one delivery; raises `ValueError` for a malformed secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret is `whsec_` and base64") from error
    signed = b".".join((event_id.encode(), str(timestamp).encode(), body))
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return _VERSION + base64.b64encode(digest).decode()


def matches(given: str, expected: Iterable[str]) -> bool:
    """Tell whether one of the signatures of a header is one of those that are expected."""
    sent = [one.encode("utf-8", "replace") for one in given.split(" ")]
    wanted = [one.encode() for one in expected]
    return any(hmac.compare_digest(one, other) for one in sent for other in wanted)
