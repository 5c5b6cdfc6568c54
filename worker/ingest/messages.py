"""The JSON lines between ingest's supervisor and its decoding child.

In, once: `Task`. Out: `Opening`, `Opened`, then `Begun` and `Checked` for each file in order, then
`Finished`; or `Refused` where the container cannot be read.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.settings import UploadLimits
from regraft.contract.verdict import Verdict


def thumbnail_name(index: int) -> str:
    """Return the name of a thumbnail beside the clean copies in `out`."""
    return f"{index}.thumbnail"


class Line(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def line(self) -> str:
        """Return the message as one JSON line, newline included."""
        return self.model_dump_json() + "\n"


class Task(Line):
    """Check the files of `archive` from the one at `start` on; clean copies go to `out`.

    `seconds` of a processor for each file, `budget` of them for all that follow; `least_classes`
    are wanted where there are any.
    """

    archive: Path
    out: Path
    start: int
    limits: UploadLimits
    least_classes: int
    memory: int
    seconds: float
    budget: float


class Opening(Line):
    """The container is being looked at as a whole."""

    type: Literal["opening"] = "opening"


class Opened(Line):
    """The container is sound, and holds `count` files."""

    type: Literal["opened"] = "opened"
    count: int


class Checked(Line):
    """The verdict on one file.

    `sha256` is of the clean copy, which lies in `out` under the file's `index`; `content`
    identifies what is seen, whatever the format; `thumbnail` is the hash of the small picture,
    which lies beside it; width and height in pixels.
    """

    type: Literal["checked"] = "checked"
    index: int
    path: str
    label: str | None
    group: str | None
    split: str | None
    verdict: Verdict
    message: str | None = None
    sha256: str | None = None
    content: str | None = None
    thumbnail: str | None = None
    width: int | None = None
    height: int | None = None


class Begun(Line):
    """The next file is being looked at; `otherwise` is its verdict if the child dies of it.

    `spent` is what the child has used of a processor so far, in seconds.
    """

    type: Literal["begun"] = "begun"
    otherwise: Checked
    spent: float


class Refused(Line):
    """The container cannot be read after all."""

    type: Literal["refused"] = "refused"
    message: str


class Finished(Line):
    """Every file has had its verdict."""

    type: Literal["finished"] = "finished"


FromChild = Annotated[
    Opening | Opened | Begun | Checked | Refused | Finished, Field(discriminator="type")
]
from_child: TypeAdapter[FromChild] = TypeAdapter(FromChild)
