"""Names that users give: what text is allowed, and slugs made from it."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

MODEL_NAME_PATTERN = r"^[a-z0-9-]{1,63}$"
MAX_METADATA = 16


def _plain(value: str) -> str:
    """Refuse what a database or a terminal cannot carry: control and surrogate characters."""
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in value):
        raise ValueError("must not contain control characters")
    if not value.strip():
        raise ValueError("must not be blank")
    return value


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
MetadataKey = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_plain)]
MetadataValue = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_plain)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA)]


def slug(text: str) -> str:
    """Return `text` in the alphabet of model names, at most 63 characters; may be empty."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_text.lower())[:63].strip("-")
