"""Large files in parts: what has come stays come, and the same file sent again goes on there.

May import httpx2, the contract and this package's own modules.
"""

import hashlib
from pathlib import Path

import httpx2

from regraft.client.download import OnBytes
from regraft.client.transport import Transport, new_key, path
from regraft.contract.uploads import Upload

IN_PARTS_FROM = 32 * 1024 * 1024  # bytes; less is sent in one request


class PartsUpload:
    """One file on its way to the service."""

    def __init__(self, transport: Transport, file: Path, on_progress: OnBytes | None) -> None:
        self._transport = transport
        self._file = file
        self._on_progress = on_progress

    def run(self) -> Upload:
        """Send the parts that are not there yet, and return the complete upload."""
        with self._file.open("rb") as source:
            sha256 = hashlib.file_digest(source, "sha256").hexdigest()
        body = {"bytes": self._file.stat().st_size, "sha256": sha256}
        # The same file is the same upload: sending this twice begins once.
        upload = self._transport.post(path("uploads"), Upload, body, new_key())
        if upload.status == "complete":
            return upload
        known = {part.number: part.sha256 for part in upload.parts}
        with self._file.open("rb") as source:
            for number in range(1, upload.num_parts + 1):
                data = source.read(upload.part_bytes)
                digest = hashlib.sha256(data).hexdigest()
                if known.get(number) != digest:
                    self._send(upload.id, number, data, digest)
                if self._on_progress is not None:
                    self._on_progress(source.tell(), upload.bytes)
        return self._transport.post(
            path("uploads", upload.id, "complete"), Upload, {}, idempotency_key=new_key()
        )

    def _send(self, upload: str, number: int, data: bytes, sha256: str) -> None:
        headers = {"Content-Type": "application/octet-stream", "X-Content-SHA256": sha256}

        def make(http: httpx2.Client) -> httpx2.Request:
            return http.build_request(
                "PUT",
                path("uploads", upload, "parts", str(number)),
                content=data,
                headers=headers,
                timeout=self._transport.upload_timeout,
            )

        self._transport.call(make, Upload)
