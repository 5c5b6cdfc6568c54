"""What an administrator sees and changes: merchants with their quotas, and API keys."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from regraft.contract.ids import MerchantId
from regraft.contract.metrics import Shown
from regraft.contract.naming import Text
from regraft.contract.strict import Strict

MAX_WEIGHT = 1000
MAX_DAYS = 36_500
MAX_OVERLAP_HOURS = 168
DEFAULT_OVERLAP_HOURS = 24
_MOST = 2**53
_MOST_COUNT = 2**31 - 1

Scope = Literal["read", "write", "admin"]
Bytes = Annotated[int, Field(ge=0, le=_MOST)]
Count = Annotated[int, Field(ge=0, le=_MOST_COUNT)]
Weight = Annotated[int, Field(ge=1, le=MAX_WEIGHT)]


def _once(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("must name each scope once")
    return scopes


Scopes = Annotated[list[Scope], Field(min_length=1, max_length=3), AfterValidator(_once)]


class MerchantLimits(Strict):
    """The most a merchant may have of each thing; null for no limit. Minutes are a month's."""

    stored_bytes: Bytes | None = None
    jobs_queued: Count | None = None
    jobs_running: Count | None = None
    device_minutes: Count | None = None


class MerchantNew(Strict):
    """A merchant to add; its first key is made with `POST /v1/keys`."""

    name: Text
    weight: Weight = 1
    limits: MerchantLimits = MerchantLimits()


class MerchantChange(Strict):
    """What to change of a merchant; of the limits, those that are named."""

    name: Text | None = None
    weight: Weight | None = None
    limits: MerchantLimits | None = None


class Merchant(Shown):
    """A merchant: its part of the devices by `weight`, and what it may have at most."""

    id: str
    object: Literal["merchant"] = "merchant"
    name: str
    weight: int
    limits: dict[str, int | None]
    created_at: str


class KeyNew(Strict):
    """A key to add for a merchant; it never expires unless `days` says when."""

    merchant: MerchantId
    name: Text = "key"
    scopes: Scopes = Field(default=["read", "write"])
    days: Annotated[int, Field(ge=1, le=MAX_DAYS)] | None = None


class KeyRotation(Strict):
    """For how long the key that is replaced still works."""

    overlap_hours: int = Field(default=DEFAULT_OVERLAP_HOURS, ge=0, le=MAX_OVERLAP_HOURS)


class Key(Shown):
    """A key without its secret; `prefix` is the part of its text that logs may show."""

    id: str
    object: Literal["key"] = "key"
    merchant: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class KeyWithText(Key):
    """A new key, whose text is shown this once."""

    key: str
