"""Models: read them, list their files and download them; may import this package and the contract.

A reference to a model is `md_…`, `name@alias` or `name:version`.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from regraft.client.download import Download, OnBytes
from regraft.client.errors import InvalidInput, UnexpectedAnswer
from regraft.client.transport import Transport, path
from regraft.contract.resources import Model, ModelFile, Page

BUNDLE = "bundle.zip"


class Models:
    """The merchant's trained models."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, model: str) -> Model:
        """Return one model."""
        return self._transport.get(path("models", model), Model)

    def list(self, *, page_size: int = 100) -> Iterator[Model]:
        """Yield all models, newest first."""
        return self._transport.pages(path("models"), Page[Model], {"limit": page_size})

    def files(self, model: str) -> Sequence[ModelFile]:
        """Return the model's files with their sizes in bytes and hashes."""
        url = path("models", model, "files")
        return tuple(self._transport.pages(url, Page[ModelFile], {"limit": 100}))

    def download(
        self,
        model: str,
        file: str = BUNDLE,
        destination: str | Path = ".",
        *,
        on_progress: OnBytes | None = None,
    ) -> Path:
        """Download a file into a folder or to a path, and return where it is.

        The bytes collect in `<file>.part`, which a later call continues; the file itself
        appears whole or not at all.

        Raises:
            InvalidInput: the model has no such file.
            ChecksumMismatch: what came is not what the manifest names; it was thrown away.
        """
        # An alias may move between two requests; an id never does.
        known = self.get(model).id
        files = self.files(known)
        wanted = next((entry for entry in files if entry.name == file), None)
        if wanted is None:
            names = ", ".join(entry.name for entry in files)
            raise InvalidInput(f"{model} has no file {file!r}; choose one of: {names}")
        url = path("models", known, "files", wanted.name)
        target = _target(destination, wanted.name)
        return Download(self._transport, url, wanted, target, on_progress).run()


def _target(destination: str | Path, name: str) -> Path:
    """Return where the file goes: below a folder, or the very path that was given."""
    if Path(name).name != name or "\\" in name:
        raise UnexpectedAnswer(f"{name!r} is no name for a file")
    folder = Path(destination)
    is_folder = folder.is_dir() or str(destination).endswith(("/", os.sep))
    return folder / name if is_folder else folder
