"""What an upload says of each of its files."""

from enum import StrEnum


class Verdict(StrEnum):
    """`ok` and `ok_duplicate` keep the image; every other verdict names why it was left out."""

    OK = "ok"
    OK_DUPLICATE = "ok_duplicate"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    EXTREME_RATIO = "extreme_ratio"
    ANIMATED = "animated"
    DECODER_FAILED = "decoder_failed"
    CONFLICTING_LABEL = "conflicting_label"


KEPT = frozenset({Verdict.OK, Verdict.OK_DUPLICATE})
