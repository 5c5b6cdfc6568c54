"""Identifiers: a type prefix and 26 characters of Crockford base32, ordered by creation time.

The layout is ULID's (48 bits of milliseconds, 80 random bits), in lower case.
"""

import re
import secrets
import time
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

Prefix = Literal[
    "ds", "job", "md", "evt", "key", "mer", "img", "slot", "aud", "whk", "whd", "era", "up"
]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
_BODY = re.compile(rf"[0-7][{_ALPHABET}]{{{_LENGTH - 1}}}")


def new_id(prefix: Prefix) -> str:
    """Return a fresh id such as `job_01k…`; ids made later sort after ids made earlier."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << 80) | secrets.randbits(80)
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def is_id(value: str, prefix: Prefix) -> bool:
    """Tell whether `value` has the one form that an id of this type can have."""
    head, _, body = value.partition("_")
    return head == prefix and _BODY.fullmatch(body) is not None


def _checked(prefix: Prefix) -> AfterValidator:
    def check(value: str) -> str:
        if not is_id(value, prefix):
            raise ValueError(f"must be an id of the form {prefix}_ and 26 characters of base32")
        return value

    return AfterValidator(check)


DatasetId = Annotated[str, Field(max_length=40), _checked("ds")]
JobId = Annotated[str, Field(max_length=40), _checked("job")]
UploadId = Annotated[str, Field(max_length=40), _checked("up")]
ImageId = Annotated[str, Field(max_length=40), _checked("img")]
ModelId = Annotated[str, Field(max_length=40), _checked("md")]
MerchantId = Annotated[str, Field(max_length=40), _checked("mer")]
