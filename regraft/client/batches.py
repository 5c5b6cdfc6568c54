"""Batches: let a model answer about a whole dataset, and fetch what it said.

May import the contract and this package's own modules.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from regraft.client.download import Download, OnBytes, target_of
from regraft.client.errors import InvalidInput, JobFailed
from regraft.client.following import Following
from regraft.client.jobs import OVER
from regraft.client.transport import Transport, new_key, path
from regraft.client.waiting import poll
from regraft.contract.batch import Batch, BatchSubmission
from regraft.contract.registry import Deleted
from regraft.contract.resources import JobEvent, ModelFile, Page
from regraft.contract.status import JobStatus


class Batches:
    """The merchant's batches."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        submission: BatchSubmission | None = None,
        *,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> Batch:
        """Submit a batch: a `BatchSubmission`, or its fields by name (`dataset`, `model`, …).

        Each call has a key of its own: a retry inside it never makes a second batch.

        Raises:
            ValidationFailed: `param` and `details` name the fields at fault.
        """
        if submission is not None:
            if fields:
                raise InvalidInput("give a BatchSubmission or fields by name, not both")
            fields = submission.model_dump(mode="json", exclude_unset=True)
        return self._transport.post(path("batches"), Batch, fields, idempotency_key or new_key())

    def get(self, batch: str) -> Batch:
        """Return one batch."""
        return self._transport.get(path("batches", batch), Batch)

    def list(
        self, *, dataset: str | None = None, model: str | None = None, page_size: int = 100
    ) -> Iterator[Batch]:
        """Yield batches, newest first; all of them, or those of a dataset or a model's id."""
        params = {"dataset": dataset, "model": model, "limit": page_size}
        return self._transport.pages(path("batches"), Page[Batch], params)

    def cancel(self, batch: str) -> Batch:
        """Ask for the end of a batch; it leaves no answers."""
        return self._steer(batch, "cancel")

    def pause(self, batch: str) -> Batch:
        """Pause a batch; what it has answered so far is kept."""
        return self._steer(batch, "pause")

    def resume(self, batch: str) -> Batch:
        """Queue a paused batch again, to go on behind what it has answered."""
        return self._steer(batch, "resume")

    def retry(self, batch: str, *, idempotency_key: str | None = None) -> Batch:
        """Submit a batch that has ended once more; the answer is the new batch."""
        url = path("batches", batch, "retry")
        return self._transport.post(url, Batch, {}, idempotency_key or new_key())

    def _steer(self, batch: str, verb: str) -> Batch:
        return self._transport.post(path("batches", batch, verb), Batch, {})

    def follow(self, batch: str, *, last: str | None = None) -> Iterator[JobEvent]:
        """Yield what happens to a batch as it happens; otherwise as `Jobs.follow`."""
        return Following(self._transport, path("batches", batch, "events"), last).events()

    def wait(
        self,
        batch: str,
        *,
        on_update: Callable[[Batch], None] | None = None,
        timeout: float | None = None,
    ) -> Batch:
        """Return the batch once it has succeeded; `timeout` in seconds.

        Raises:
            JobFailed: it failed or was cancelled; `job.error` says why and what to do.
            WaitTimeout: the time is up; the batch goes on.
        """
        done = poll(lambda: self.get(batch), _is_over, on_update, timeout)
        if done.status.value != JobStatus.SUCCEEDED:
            raise JobFailed(done)
        return done

    def download(
        self, batch: str, destination: str | Path = ".", *, on_progress: OnBytes | None = None
    ) -> Path:
        """Download the answers into a folder or to a path, and return where they are.

        A broken download is continued by a later call, as `Models.download`.

        Raises:
            InvalidInput: the batch has no answers: not yet, or not any more.
            ChecksumMismatch: what came is not what the batch names; it was thrown away.
        """
        found = self.get(batch)
        if found.file is None:
            raise InvalidInput(f"{batch} is {found.status.value} and has no answers")
        wanted = ModelFile.model_validate(found.file.model_dump())
        target = target_of(destination, wanted.name)
        url = path("batches", batch, "file")
        return Download(self._transport, url, wanted, target, on_progress).run()

    def delete_file(self, batch: str) -> Deleted:
        """Delete the answers of a batch that has ended; its record stays."""
        return self._transport.delete(path("batches", batch, "file"), Deleted)


def _is_over(batch: Batch) -> bool:
    return batch.status.value in OVER
