"""One file from the service: continued where it broke, checked against its hash, then put in place.

May import httpx2, the contract and this package's own modules.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import httpx2

from regraft.client.errors import ApiError, ChecksumMismatch, UnexpectedAnswer
from regraft.client.transport import Again, Transport
from regraft.contract.resources import ModelFile

OnBytes = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""

_PARTIAL = 206
_PAST_THE_END = 416


class Download:
    """The way of one file from `url` to `target`, by way of `<target>.part`."""

    def __init__(
        self,
        transport: Transport,
        url: str,
        wanted: ModelFile,
        target: Path,
        on_progress: OnBytes | None = None,
    ) -> None:
        self._transport = transport
        self._url = url
        self._wanted = wanted
        self._target = target
        self._part = target.with_name(target.name + ".part")
        self._on_progress = on_progress

    def run(self) -> Path:
        """Return the path of the whole, verified file; one that is there already is kept.

        Raises:
            ChecksumMismatch: the bytes are not those of the manifest; they were thrown away.
        """
        if self._is_wanted(self._target):
            self._report(self._wanted.bytes)
            return self._target
        self._target.parent.mkdir(parents=True, exist_ok=True)
        continued = self._size() > 0
        self._fetch()
        if continued and not self._is_wanted(self._part):
            # The part may have been another model's: that is no reason to fail.
            self._part.unlink(missing_ok=True)
            self._fetch()
        if not self._is_wanted(self._part):
            self._part.unlink(missing_ok=True)
            raise ChecksumMismatch(
                f"{self._wanted.name} does not have the sha256 that its manifest names; "
                "the bytes were thrown away: download it again, and report it if it stays"
            )
        return self._part.replace(self._target)

    def _fetch(self) -> None:
        """Bring the part to its full size, over as many connections as that takes."""
        failures = 0
        self._part.touch()
        while (have := self._size()) < self._wanted.bytes:
            try:
                self._receive(have)
            except Again as again:
                failures = 1 if self._size() > have else failures + 1
                if not self._transport.retry.pause(failures, again.retry_after):
                    raise again.reason from again.reason.__cause__
                continue
            if self._size() <= have:
                return

    def _receive(self, have: int) -> None:
        """Append what one answer brings, or start over where the service sends the whole."""
        try:
            with self._transport.answer(lambda http: self._request(http, have)) as response:
                start = self._start(response, have)
                with self._part.open("ab" if start else "wb") as sink:
                    for chunk in response.iter_raw():
                        sink.write(chunk)
                        start += len(chunk)
                        self._report(start)
                        if start > self._wanted.bytes:
                            return
        except ApiError as error:
            if error.status != _PAST_THE_END:
                raise
            self._part.unlink(missing_ok=True)

    def _request(self, http: httpx2.Client, have: int) -> httpx2.Request:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": f'"{self._wanted.sha256}"'}
        return http.build_request("GET", self._url, headers=headers)

    def _start(self, response: httpx2.Response, have: int) -> int:
        if response.status_code != _PARTIAL:
            return 0
        span = response.headers.get("content-range", "")
        if not span.startswith(f"bytes {have}-"):
            raise UnexpectedAnswer(f"{response.url} sent {span!r} for the bytes from {have} on")
        return have

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0

    def _is_wanted(self, path: Path) -> bool:
        if not path.is_file() or path.stat().st_size != self._wanted.bytes:
            return False
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == self._wanted.sha256

    def _report(self, done: int) -> None:
        if self._on_progress is not None:
            self._on_progress(min(done, self._wanted.bytes), self._wanted.bytes)


def target_of(destination: str | Path, name: str) -> Path:
    """Return where the file goes: below a folder, or the very path that was given."""
    if Path(name).name != name or "\\" in name:
        raise UnexpectedAnswer(f"{name!r} is no name for a file")
    folder = Path(destination)
    is_folder = folder.is_dir() or str(destination).endswith(("/", os.sep))
    return folder / name if is_folder else folder
