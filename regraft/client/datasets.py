"""Datasets: push a folder or a file, read them, page through their images, wait for verdicts.

May import httpx2, the contract and this package's own modules.
"""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from regraft.client import parts
from regraft.client.download import OnBytes
from regraft.client.errors import DatasetInvalid, InvalidInput
from regraft.client.pack import pack
from regraft.client.parts import PartsUpload
from regraft.client.photos import parts_of
from regraft.client.transport import Transport, idempotent, new_key, path
from regraft.client.waiting import poll
from regraft.contract.resources import Dataset, Image, Page
from regraft.contract.search import Search
from regraft.contract.verdict import Verdict


class _Kind(NamedTuple):
    """What a file is sent as."""

    name: str
    media_type: str


_ZIP = _Kind("dataset.zip", "application/zip")
_PARQUET = _Kind("dataset.parquet", "application/vnd.apache.parquet")
_PARQUET_MAGIC = b"PAR1"


class Datasets:
    """What the service knows of the merchant's images."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def push(
        self,
        source: str | Path,
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        *,
        on_progress: OnBytes | None = None,
        idempotency_key: str | None = None,
    ) -> Dataset:
        """Upload a folder of class folders, or a zip of one; the name defaults to the folder's.

        A parquet file is taken too, as Hugging Face's `datasets` writes it: a row is an image.
        A large file goes in parts: pushed again after a break, it goes on where it was.
        The dataset comes back in status `processing`: see `wait`.

        Raises:
            InvalidInput: the folder or file cannot make a dataset; nothing was sent.
        """
        given = Path(source)
        fields = {"name": name or given.resolve().stem}
        if metadata:
            fields["metadata"] = json.dumps(dict(metadata))
        form = _Form(path("datasets"), fields, idempotency_key or new_key())
        with _as_file(given) as packed:
            return self._send_file(form, packed, on_progress)

    def search(
        self,
        dataset: str,
        photos: Iterable[str | Path | bytes],
        *,
        top: int = 10,
        group: bool = False,
        model: str | None = None,
    ) -> Search:
        """Return the images that look most like photos of one product: files, or their bytes.

        With `group` each product is found once. `model` sees the photos: without it the newest
        that was trained on the dataset.

        Raises:
            InvalidInput: a file cannot be read.
            ConflictError: (`dataset_not_indexed`) nothing has computed its features yet.
        """
        files = parts_of(photos)
        params = {"top": str(top), "group": str(group).lower()}
        params |= {} if model is None else {"model": model}
        url = path("datasets", dataset, "search")

        def make(http: httpx2.Client) -> httpx2.Request:
            return http.build_request("POST", url, params=params, files=files)

        return self._transport.call(make, Search)

    def new_version(
        self,
        dataset: str,
        *,
        add: str | Path | None = None,
        relabel: Mapping[str, str | None] | None = None,
        remove: Sequence[str] = (),
        name: str | None = None,
        metadata: Mapping[str, str] | None = None,
        on_progress: OnBytes | None = None,
        idempotency_key: str | None = None,
    ) -> Dataset:
        """Make the next version of a dataset; the one before stays as it is.

        `add` is a folder or a file, as for `push`, where one class is enough; `relabel` gives new
        labels by image id, None for none; `remove` names the images that are left out. Name and
        metadata else stay. The version comes back in status `processing`: see `wait`.

        Raises:
            InvalidInput: the folder or file cannot be added, or nothing would change; nothing
                was sent.
        """
        if add is None and not relabel and not remove:
            raise InvalidInput("nothing would change: give images to add, relabel or remove")
        texts = {"relabel": relabel, "remove": list(remove), "metadata": metadata}
        fields = {key: json.dumps(value) for key, value in texts.items() if value}
        if name is not None:
            fields["name"] = name
        key = idempotency_key or new_key()
        form = _Form(path("datasets", dataset, "versions"), fields, key)
        if add is None:
            return self._send(form, {})
        with _as_file(Path(add), least_classes=1) as packed:
            return self._send_file(form, packed, on_progress)

    def _send_file(self, form: "_Form", packed: Path, on_progress: OnBytes | None) -> Dataset:
        if packed.stat().st_size >= parts.IN_PARTS_FROM:
            upload = PartsUpload(self._transport, packed, on_progress).run()
            return self._send(form, {"upload": (None, upload.id)})
        with _Metered(packed, on_progress) as content:
            kind = _PARQUET if _is_parquet(packed) else _ZIP
            return self._send(form, {"file": (kind.name, content, kind.media_type)})

    def _send(self, form: "_Form", files: dict[str, Any]) -> Dataset:
        # Texts go as parts too: without a file there would be no multipart form.
        sent = {**{name: (None, text) for name, text in form.fields.items()}, **files}
        # One boundary for every retry: with one key, the body must be the same to the byte.
        kind = f"multipart/form-data; boundary={new_key()}"

        def make(http: httpx2.Client) -> httpx2.Request:
            return http.build_request(
                "POST",
                form.path,
                files=sent,
                headers={"Content-Type": kind, **idempotent(form.key)},
                timeout=self._transport.upload_timeout,
            )

        return self._transport.call(make, Dataset)

    def get(self, dataset: str) -> Dataset:
        """Return one dataset."""
        return self._transport.get(path("datasets", dataset), Dataset)

    def list(self, *, page_size: int = 100) -> Iterator[Dataset]:
        """Yield all datasets, newest first."""
        return self._transport.pages(path("datasets"), Page[Dataset], {"limit": page_size})

    def images(
        self, dataset: str, *, verdict: Verdict | str | None = None, page_size: int = 100
    ) -> Iterator[Image]:
        """Yield the images of a dataset, or those with one verdict."""
        params = {"limit": page_size, "verdict": verdict and str(verdict)}
        return self._transport.pages(path("datasets", dataset, "images"), Page[Image], params)

    def image(self, dataset: str, image: str) -> bytes:
        """Return a picture as it is trained on: JPEG, PNG or WebP, upright, without metadata."""
        return self._transport.read(path("datasets", dataset, "images", image))

    def thumbnail(self, dataset: str, image: str) -> bytes:
        """Return a small JPEG of a picture: it fits in 256 x 256 pixels."""
        return self._transport.read(path("datasets", dataset, "images", image, "thumbnail"))

    def wait(
        self,
        dataset: str,
        *,
        on_update: Callable[[Dataset], None] | None = None,
        timeout: float | None = None,
    ) -> Dataset:
        """Return the dataset once it is ready; `timeout` in seconds.

        Raises:
            DatasetInvalid: the upload made no usable dataset.
            WaitTimeout: the time is up.
        """
        done = poll(
            lambda: self.get(dataset), lambda it: it.status != "processing", on_update, timeout
        )
        if done.status == "invalid":
            raise DatasetInvalid(done)
        return done


class _Form(NamedTuple):
    """Where a form goes, its texts, and the key under which it may be sent again."""

    path: str
    fields: dict[str, str]
    key: str


class _Metered(io.BufferedReader):
    """A file that says how much of it has been read; rewinding it starts the count again."""

    def __init__(self, path: Path, on_progress: OnBytes | None) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size
        self._on_progress = on_progress

    def read(self, size: int | None = -1) -> bytes:
        chunk = super().read(size)
        if self._on_progress is not None:
            self._on_progress(self.tell(), self._size)
        return chunk


def _is_parquet(file: Path) -> bool:
    with file.open("rb") as source:
        return source.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC


@contextmanager
def _as_file(source: Path, least_classes: int = 2) -> Iterator[Path]:
    """Give `source` as one file; a folder is packed into a temporary zip that goes away."""
    if source.is_dir():
        with tempfile.TemporaryDirectory(prefix="regraft-") as room:
            packed = Path(room, "dataset.zip")
            with packed.open("wb") as target:
                pack(source, target, least_classes)
            yield packed
        return
    if not source.is_file():
        raise InvalidInput(f"{source} does not exist")
    if not (zipfile.is_zipfile(source) or _is_parquet(source)):
        raise InvalidInput(f"{source} is neither a folder nor a zip nor a parquet file")
    yield source
