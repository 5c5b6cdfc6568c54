"""`python -m serve.child`: decodes photos in a sandbox, one after another.

In: the limits as a line of JSON, then for each photo a line with its size and settings, and its
bytes. Out: a line when it is ready, then for each photo a line with its verdict and the number of
bytes of its pixels, and these. It may die on any photo; the pool then starts another.
"""

import os
import sys

from core.processes import die_with_parent
from core.settings import UploadLimits
from regraft.contract.verdict import Verdict
from serve.messages import READY, Decoded, Encoded
from worker.engine.shipped.predict import Bytes, square
from worker.ingest import decode, sandbox
from worker.line_process import PARENT_VARIABLE

_CPU_SECONDS = 10.0
_MEMORY_BYTES = 1024 * 1024 * 1024
_FAILED = Decoded(size=0, verdict=Verdict.DECODER_FAILED, message="The decoder failed on it.")


def main() -> None:
    """Answer until the input ends."""
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    limits = UploadLimits.model_validate_json(sys.stdin.buffer.readline())
    decode.prepare(limits)
    sandbox.enter(_MEMORY_BYTES)
    _say(READY)
    while line := sys.stdin.buffer.readline():
        sandbox.allow_cpu(_CPU_SECONDS)
        encoded = Encoded.model_validate_json(line)
        answer, pixels = _decoded(encoded, sys.stdin.buffer.read(encoded.size), limits)
        _say(answer.model_dump_json().encode() + b"\n" + pixels)


def _decoded(encoded: Encoded, data: bytes, limits: UploadLimits) -> tuple[Decoded, bytes]:
    """Return what to say of a photo, and its pixels."""

    def look(content: bytes) -> Bytes:
        return square(content, encoded.preprocess.settings)

    try:
        pixels = decode.seen(data, limits, look).tobytes()
    except decode.RejectedError as error:
        return Decoded(size=0, verdict=error.verdict, message=error.message), b""
    except Exception as error:  # noqa: BLE001 - a decoder raises anything at all
        sys.stderr.write(f"decoder: {type(error).__name__}: {error}\n")
        return _FAILED, b""
    return Decoded(size=len(pixels), verdict=Verdict.OK, message=""), pixels


def _say(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
