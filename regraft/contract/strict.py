"""The base of what a user sends; imports pydantic alone."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Auto = Literal["auto"]


class Strict(BaseModel):
    """Frozen, no unknown field, and no `true` or "5" for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
