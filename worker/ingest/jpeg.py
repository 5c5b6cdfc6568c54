"""What a JPEG decoder only warns of and Pillow keeps to itself; runs in the sandboxed child.

A damaged scan decodes without an error: from the damage on its pixels are noise or grey. Only the
decoder's own warnings tell (docs/adr/0012).
"""

import re

import simplejpeg

_DAMAGE = re.compile(
    r"premature end|bad huffman code|bad arithmetic code|instead of rst", re.IGNORECASE
)
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_FEW = 8
_END = "d9"


def is_damaged(data: bytes) -> bool:
    """Tell whether a JPEG that decodes has a scan that ran out, or left more than padding over."""
    try:
        # An eighth of the size: the scan is read whole, and the pixels are not what is asked for.
        simplejpeg.decode_jpeg(
            data, colorspace="GRAY", min_height=1, min_width=1, min_factor=8, strict=True
        )
    except ValueError as error:
        warning = str(error)
    else:
        return False
    left_over = _LEFT_OVER.search(warning)
    if left_over is None:
        return _DAMAGE.search(warning) is not None
    count, marker = int(left_over.group(1)), left_over.group(2)
    return count > _FEW and not (marker == _END and _is_padding(data, count))


def _is_padding(data: bytes, count: int) -> bool:
    """Tell whether some end mark has that many equal bytes before it, as some cameras write."""
    at = data.find(b"\xff\xd9")
    while at >= 0:
        before = data[max(0, at - count + 1) : at]
        if before and before.count(before[:1]) == len(before):
            return True
        at = data.find(b"\xff\xd9", at + 1)
    return False
