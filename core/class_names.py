"""What a class may be called, alone and beside others, and how many classes a dataset may have.

May import the standard library, core and regraft.contract.
"""

import unicodedata
from collections.abc import Collection

from core.manifest import ArchiveError
from core.settings import UploadLimits
from regraft.contract.errors import ErrorCode

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_plain(text: str) -> bool:
    """Tell whether text has nothing that hides, reorders or breaks what a reader sees."""
    return not any(
        char in _BIDI or unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text
    )


def check_classes(
    labels: Collection[str], limits: UploadLimits, least: int, param: str = "file"
) -> tuple[str, ...]:
    """Return a dataset's classes in alphabetical order; without any the images are unlabelled.

    Raises `ArchiveError` for fewer than `least`, for too many, and for those that look alike.
    """
    if 0 < len(labels) < least:
        raise ArchiveError(
            ErrorCode.TOO_FEW_CLASSES,
            f"There is one class only: {next(iter(labels))}. Images without a class go to the top "
            "level.",
            param,
        )
    _check_look(labels, param)
    if len(labels) > limits.max_classes:
        raise ArchiveError(
            ErrorCode.TOO_MANY_CLASSES,
            f"There are {len(labels)} classes; at most {limits.max_classes} are taken.",
            param,
        )
    return tuple(sorted(labels))


def _check_look(labels: Collection[str], param: str) -> None:
    """Refuse classes that a reader cannot tell apart, or cannot see."""
    seen: dict[str, str] = {}
    for label in sorted(labels):
        look = _look(label)
        if not look:
            message = f"A class has a name that cannot be seen: {label!a}."
            raise ArchiveError(ErrorCode.DATASET_INVALID, message, param)
        if look in seen:
            raise ArchiveError(
                ErrorCode.DATASET_INVALID,
                f"Two classes look the same and differ in invisible characters only: "
                f"{seen[look]!a} and {label!a}.",
                param,
            )
        seen[look] = label


def _look(label: str) -> str:
    """Return what is seen of a label: no format characters, no selectors, single spaces."""
    visible = "".join(
        char
        for char in label
        if unicodedata.category(char) != "Cf" and not "\ufe00" <= char <= "\ufe0f"
    )
    return " ".join(unicodedata.normalize("NFC", visible).split())
