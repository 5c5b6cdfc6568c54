"""Secrets of webhooks: derived when they are needed, never stored.

A row holds a random seed; the operator's key, which is not in the database, makes the secret of
it. Without a key the seed alone does. May import core.settings and regraft.contract.
"""

import hashlib
import hmac
import secrets

from core.settings import WebhookSettings
from regraft.contract.signatures import secret_of

_SEED_BYTES = 32


def new_seed() -> str:
    """Return 256 random bits in hex."""
    return secrets.token_hex(_SEED_BYTES)


def secret(given: WebhookSettings, seed: str) -> str:
    """Return the secret that a seed stands for, as the merchant was shown it."""
    key = given.key.get_secret_value().encode()
    return secret_of(hmac.new(key, f"regraft webhook {seed}".encode(), hashlib.sha256).digest())
