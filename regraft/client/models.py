"""Models: read, ask, download, promote and delete them.

May import httpx2, this package and the contract.

A reference to a model is `md_…`, `name@alias` or `name:version`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2

from regraft.client.download import Download, OnBytes, target_of
from regraft.client.errors import InvalidInput
from regraft.client.photos import parts_of
from regraft.client.transport import Answer, Transport, new_key, path
from regraft.contract.drift import Drift
from regraft.contract.prediction import Embedding, Prediction
from regraft.contract.refs import PRODUCTION
from regraft.contract.registry import Alias, Deleted
from regraft.contract.resources import Job, Model, ModelFile, Page

BUNDLE = "bundle.zip"


class Models:
    """The merchant's trained models."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, model: str) -> Model:
        """Return one model."""
        return self._transport.get(path("models", model), Model)

    def list(self, *, name: str | None = None, page_size: int = 100) -> Iterator[Model]:
        """Yield models, newest first; all of them, or the versions of one name."""
        params = {"name": name, "limit": page_size}
        return self._transport.pages(path("models"), Page[Model], params)

    def promote(
        self, name: str, to: int | str, *, alias: str = PRODUCTION, force: bool = False
    ) -> Alias:
        """Point an alias to a version of `name`, by its number or its id.

        Raises:
            ConflictError: (`worse_model`) it names fewer of the same images right than the model
                that the alias points to, which `force` overrules.
        """
        return self._transport.put(_alias(name, alias), Alias, {"to": to, "force": force})

    def roll_back(self, name: str, *, alias: str = PRODUCTION) -> Alias:
        """Point an alias to the model that it pointed to before; twice undoes it."""
        url = _alias(name, alias)
        return self._transport.put(url, Alias, {"to": "previous"}, repeatable=False)

    def remove_alias(self, name: str, alias: str) -> Deleted:
        """Take an alias away; the model stays."""
        return self._transport.delete(_alias(name, alias), Deleted)

    def delete(self, model: str) -> Deleted:
        """Delete a model and its files.

        Raises:
            ConflictError: (`in_use`) an alias points to it, or a job starts from it.
        """
        return self._transport.delete(path("models", model), Deleted)

    def drift(self, model: str) -> Drift:
        """Return whether the photos that a model is asked about still look like what it learned.

        Its `suggested_job`, where there is one, goes to `client.jobs.submit(**job)` as it is.
        """
        return self._transport.get(path("models", model, "drift"), Drift)

    def files(self, model: str) -> Sequence[ModelFile]:
        """Return the model's files with their sizes in bytes and hashes."""
        url = path("models", model, "files")
        return tuple(self._transport.pages(url, Page[ModelFile], {"limit": 100}))

    def add_classes(
        self,
        model: str,
        dataset: str,
        label: str | None = None,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Job:
        """Add labels to a model from a few images each; the job makes its next version.

        Each label of the dataset that the model does not know, or `label` alone, which also is
        what the images of a dataset without labels show. Further `fields` are `NewClasses`'s.

        Raises:
            ConflictError: (`label_exists`) the model knows the label.
            ValidationFailed: (`too_few_images`) there are fewer than five images of one.
        """
        body = {"dataset": dataset, "label": label, **fields}
        url = path("models", model, "classes")
        return self._transport.post(url, Job, body, idempotency_key or new_key())

    def evaluate(
        self, model: str, dataset: str, *, idempotency_key: str | None = None, **fields: Any
    ) -> Job:
        """Measure a model on a dataset; the job's `metrics.test` say how good it is there.

        Further `fields` are `Evaluate`'s.

        Raises:
            ValidationFailed: (`label_spaces_disjoint`) they have no label in common.
        """
        url, body = path("models", model, "evaluate"), {"dataset": dataset, **fields}
        return self._transport.post(url, Job, body, idempotency_key or new_key())

    def evaluations(self, model: str, *, page_size: int = 100) -> Iterator[Job]:
        """Yield the jobs that measured a model, newest first."""
        url = path("models", model, "evaluations")
        return self._transport.pages(url, Page[Job], {"limit": page_size})

    def predict(
        self,
        model: str,
        photos: Iterable[str | Path | bytes],
        *,
        top: int = 3,
        pool: bool = False,
        groups: Sequence[str | None] | None = None,
    ) -> Prediction:
        """Return what a model says of photos: files, or their bytes.

        `groups` names the product that each photo shows, or None; photos of one product get one
        answer, as all do with `pool`. A photo that cannot be read has an `error` in its place.

        Raises:
            InvalidInput: a file cannot be read.
            ConflictError: (`not_servable`) the model has no ONNX export, or is too large.
        """
        params = {"top": str(top), "pool": str(pool).lower()}
        return self._ask(path("models", model, "predict"), photos, params, groups, Prediction)

    def embed(
        self,
        model: str,
        photos: Iterable[str | Path | bytes],
        *,
        pool: bool = False,
        groups: Sequence[str | None] | None = None,
    ) -> Embedding:
        """Return photos as vectors by a model's backbone; otherwise as `predict`."""
        params = {"pool": str(pool).lower()}
        return self._ask(path("models", model, "embed"), photos, params, groups, Embedding)

    def _ask(
        self,
        url: str,
        photos: Iterable[str | Path | bytes],
        params: dict[str, str],
        groups: Sequence[str | None] | None,
        answer: type[Answer],
    ) -> Answer:
        files = parts_of(photos)
        fields = {} if groups is None else {"groups": json.dumps(list(groups))}

        def make(http: httpx2.Client) -> httpx2.Request:
            return http.build_request("POST", url, params=params, data=fields, files=files)

        return self._transport.call(make, answer)

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
        target = target_of(destination, wanted.name)
        return Download(self._transport, url, wanted, target, on_progress).run()


def _alias(name: str, alias: str) -> str:
    return path("models", name, "aliases", alias)
