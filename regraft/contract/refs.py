"""References to models: `md_…`, `name@alias` or `name:version`; one spelling each."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from regraft.contract.ids import is_id
from regraft.contract.naming import MODEL_NAME_PATTERN

PRODUCTION = "production"  # the alias of the model that answers today
MAX_VERSION = 2**31 - 1
_NAME = re.compile(MODEL_NAME_PATTERN)
_VERSION = re.compile(r"[1-9][0-9]{0,9}")


class ModelRef(NamedTuple):
    """What a reference names: an id, or a name with either an alias or a version."""

    id: str | None = None
    name: str | None = None
    alias: str | None = None
    version: int | None = None


def is_name(text: str) -> bool:
    """Tell whether this can be the name of a model or of an alias."""
    return _NAME.fullmatch(text) is not None


def parse(text: str) -> ModelRef | None:
    """Return what a reference names; None for text that can name no model."""
    if is_id(text, "md"):
        return ModelRef(id=text)
    for mark, field in (("@", "alias"), (":", "version")):
        name, found, rest = text.partition(mark)
        if found and is_name(name):
            return _named(name, field, rest)
    return None


def _named(name: str, field: str, rest: str) -> ModelRef | None:
    if field == "alias":
        return ModelRef(name=name, alias=rest) if is_name(rest) else None
    version = int(rest) if _VERSION.fullmatch(rest) else 0
    return ModelRef(name=name, version=version) if 1 <= version <= MAX_VERSION else None


def _checked(text: str) -> str:
    if parse(text) is None:
        raise ValueError("must name a model: its id (md_…), name:version, or name@alias")
    return text


ModelReference = Annotated[str, Field(max_length=128), AfterValidator(_checked)]
