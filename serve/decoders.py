"""A pool of sandboxed children that decode photos; one that dies costs the photo it died on."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from core.logs import logger
from core.settings import UploadLimits
from regraft.contract.verdict import Verdict
from serve.messages import READY, Decoded, Encoded, Preprocess
from serve.turns import Turns
from worker.engine.shipped.predict import Bytes
from worker.line_process import started

_COMMAND = (sys.executable, "-m", "serve.child")
_LONGEST_LINE = 4096
_START_SECONDS = 60.0
_log = logger(__name__)


class NoDecoderError(Exception):
    """A decoding child did not start: no photo's fault."""


class UnreadableError(Exception):
    """A photo that is left out: its verdict, and why in words for its owner."""

    def __init__(self, verdict: Verdict, message: str) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.message = message


class _Photo(NamedTuple):
    data: bytes
    preprocess: Preprocess
    pixels: "Future[Bytes]"


class Decoders:
    """`count` children, each with a thread that feeds it; at most `room` photos wait for them.

    Whichever takes longer than `seconds` for a photo is ended.
    """

    def __init__(self, count: int, limits: UploadLimits, seconds: float, room: int) -> None:
        self._turns: Turns[_Photo] = Turns(room)
        self._limits = limits
        self._seconds = seconds
        self._threads = [
            threading.Thread(target=self._run, name="decoder", daemon=True) for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, merchant: str, data: bytes, preprocess: Preprocess) -> "Future[Bytes]":
        """Return the pixels [s, s, 3] to come of a photo; they may fail with `UnreadableError`.

        Raises `FullError`.
        """
        photo = _Photo(data, preprocess, Future())
        self._turns.put(merchant, photo)
        return photo.pixels

    def close(self) -> None:
        """End the children once what waits is decoded."""
        self._turns.close()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        # A child ends with the thread that started it, so one thread keeps it all its life.
        child = _Child(self._limits)
        while photos := self._turns.take(1):
            (photo,) = photos
            if not photo.pixels.set_running_or_notify_cancel():
                continue
            child = self._living(child)
            try:
                photo.pixels.set_result(child.decode(photo, self._seconds))
            except (UnreadableError, NoDecoderError) as error:
                photo.pixels.set_exception(error)
            child = self._living(child)
        child.end()

    def _living(self, child: "_Child") -> "_Child":
        return child if child.is_alive else _Child(self._limits)


class _Child:
    """One decoding process."""

    def __init__(self, limits: UploadLimits) -> None:
        self._process = started(_COMMAND)
        self._is_ready = False
        with contextlib.suppress(OSError):  # it ended at once: `decode` says so
            self._send(limits.model_dump_json().encode() + b"\n")

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, photo: _Photo, seconds: float) -> Bytes:
        """Return a photo's pixels; raises `UnreadableError`, or `NoDecoderError`."""
        self._wait_until_ready()
        try:
            with self._within(seconds):
                return self._exchanged(photo)
        except (OSError, ValueError) as error:
            self.end()
            _log.warning("decoding child ended", code=self._process.returncode, reason=str(error))
            message = "The decoder gave up on this image."
            raise UnreadableError(Verdict.DECODER_FAILED, message) from error

    def end(self) -> None:
        """End the process, and reap it."""
        self._kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    @contextlib.contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        """End the process if the block takes longer."""
        clock = threading.Timer(seconds, self._kill)
        clock.start()
        try:
            yield
        finally:
            clock.cancel()

    def _wait_until_ready(self) -> None:
        if self._is_ready:
            return
        with self._within(_START_SECONDS):
            self._is_ready = self._line() == READY
        if not self._is_ready:
            self.end()
            _log.error("decoding child did not start", code=self._process.returncode)
            raise NoDecoderError

    def _exchanged(self, photo: _Photo) -> Bytes:
        line = Encoded(size=len(photo.data), preprocess=photo.preprocess).model_dump_json()
        self._send(line.encode() + b"\n")
        self._send(photo.data)
        return self._answer(photo.preprocess.input_size)

    def _kill(self) -> None:
        if not self.is_alive:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, data: bytes) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def _answer(self, side: int) -> Bytes:
        """Read one answer; raises `ValueError` for a child that ended or speaks nonsense."""
        found = Decoded.model_validate_json(self._line())
        if found.verdict is not Verdict.OK:
            raise UnreadableError(found.verdict, found.message)
        out, wanted = self._process.stdout, side * side * 3
        pixels = b"" if out is None or found.size != wanted else out.read(wanted)
        return np.frombuffer(pixels, dtype=np.uint8).reshape(side, side, 3)

    def _line(self) -> bytes:
        return b"" if self._process.stdout is None else self._process.stdout.readline(_LONGEST_LINE)
