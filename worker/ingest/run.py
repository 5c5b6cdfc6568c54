"""Kind `ingest`: fetch an upload, have its files decoded in a sandbox, keep the clean copies.

A child that dies costs the file that it died on, and nothing else.
"""

import hashlib
import sys
import time
from pathlib import Path

from sqlalchemy import select

from core.blobs import BlobCorruptError
from core.class_names import check_classes
from core.logs import logger
from core.manifest import ArchiveError
from core.settings import MIB
from db.models import Dataset
from regraft.contract.errors import ErrorCode
from regraft.contract.resources import Progress
from worker.ingest.inherited import inherited
from worker.ingest.messages import (
    Begun,
    Checked,
    Finished,
    FromChild,
    Opened,
    Opening,
    Refused,
    Task,
    from_child,
    thumbnail_name,
)
from worker.ingest.summary import summarise
from worker.line_process import LineProcess, ProcessEndedError
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.outcome import InterruptedRunError, Outcome

_COMMAND = (sys.executable, "-m", "worker.ingest.child")
_MEMORY_BYTES = 1024 * MIB
_CPU_SECONDS = 30.0
_SILENT_SECONDS = 60.0
_TICK_SECONDS = 0.2
_OPENINGS = 3
_log = logger(__name__)


def ingest(attempt: Attempt) -> Outcome:
    """Check one dataset to its end: what it shares with its parent, and what was uploaded."""
    dataset = _dataset(attempt)
    shared = inherited(attempt.station.database, dataset)
    if dataset.source_bytes == 0:
        return _judged(attempt, shared)
    archive = _fetch(attempt, dataset.source_sha256)
    return _Ingest(attempt, archive, shared, 2 if dataset.parent_id is None else 1).run()


def _dataset(attempt: Attempt) -> Dataset:
    claim = attempt.claim
    with attempt.station.database.read() as session:
        query = select(Dataset).where(
            Dataset.id == claim.dataset_id, Dataset.tenant_id == claim.tenant_id
        )
        return session.scalars(query).one()


def _judged(attempt: Attempt, images: list[Checked]) -> Outcome:
    """Return how a dataset ends of which every image was looked at."""
    labels = {image.label for image in images if image.label is not None}
    try:
        check_classes(labels, attempt.station.settings.uploads, least=0)
    except ArchiveError as error:
        return outcome.failed(attempt.claim, ErrorCode.DATASET_INVALID, error.message)
    return outcome.ingested(attempt.claim, summarise(images))


def _fetch(attempt: Attempt, sha256: str) -> Path:
    """Bring the uploaded container to the workspace, checked against its hash."""
    tenant_id, archive = attempt.claim.tenant_id, attempt.workspace / "upload.zip"
    digest = hashlib.sha256()
    with archive.open("wb") as out:
        for piece in attempt.station.blobs.read(tenant_id, sha256):
            attempt.check()
            digest.update(piece)
            out.write(piece)
    if digest.hexdigest() != sha256:
        raise BlobCorruptError(sha256)
    return archive


class _Ingest:
    """The conversation with one decoding child after another about one upload.

    `shared` are the images that its dataset has already; `least_classes` the upload must have.
    """

    def __init__(
        self, attempt: Attempt, archive: Path, shared: list[Checked], least_classes: int
    ) -> None:
        self._attempt = attempt
        self._archive = archive
        self._shared = shared
        self._least_classes = least_classes
        self._out = attempt.workspace / "clean"
        self._out.mkdir()
        self._checked: list[Checked] = []
        self._begun: Begun | None = None
        self._is_opening = False
        self._openings = 0
        self._count = 0
        self._spent = 0.0

    def run(self) -> Outcome:
        ended = None
        while ended is None:
            child: LineProcess[FromChild] = LineProcess(_COMMAND, from_child.validate_json)
            try:
                child.send(self._task().line())
                ended = self._listen(child)
            except ProcessEndedError as died:
                ended = self._step_over(died.how)
            finally:
                child.kill()
        return ended

    def _task(self) -> Task:
        return Task(
            archive=self._archive,
            out=self._out,
            start=len(self._checked),
            limits=self._attempt.station.settings.uploads,
            least_classes=self._least_classes,
            memory=_MEMORY_BYTES,
            seconds=_CPU_SECONDS,
            budget=self._attempt.station.settings.uploads.max_cpu_seconds - self._spent,
        )

    def _listen(self, child: LineProcess[FromChild]) -> Outcome | None:
        """Take what a child says; None means that it hung and the next one must go on."""
        # Until its first word a child only starts, which a busy machine may take its time for.
        silence = self._attempt.station.settings.timings.stall
        heard = time.monotonic()
        while time.monotonic() - heard < silence:
            self._attempt.check()
            message = child.receive(_TICK_SECONDS)
            if message is None:
                continue
            ended = self._take(message)
            if ended is not None:
                return ended
            heard = time.monotonic()
            silence = min(_SILENT_SECONDS, silence)
        return self._step_over(f"silent for {silence:g} seconds")

    def _take(self, message: FromChild) -> Outcome | None:
        match message:
            case Opening():
                self._is_opening = True
            case Opened():
                self._is_opening = False
                self._count = message.count
            case Begun():
                self._begun = message
            case Checked():
                self._keep(message)
            case Refused():
                return self._invalid(message.message)
            case Finished():
                return _judged(self._attempt, self._shared + self._checked)
        return None

    def _keep(self, checked: Checked) -> None:
        """Store a clean copy and its thumbnail, then count their file as done."""
        if checked.sha256 is not None and checked.thumbnail is not None:
            self._store(str(checked.index), checked.sha256)
            self._store(thumbnail_name(checked.index), checked.thumbnail)
        self._checked.append(checked)
        self._begun = None
        done, count = len(self._checked), max(self._count, 1)
        self._attempt.heart.progress(
            Progress(
                phase="preparing", fraction=done / count, steps_done=done, steps_total=self._count
            )
        )

    def _store(self, name: str, sha256: str) -> None:
        path = self._out / name
        stored = self._attempt.station.blobs.put_file(self._attempt.claim.tenant_id, path)
        if stored.sha256 != sha256:
            raise BlobCorruptError(sha256)
        path.unlink()

    def _invalid(self, message: str) -> Outcome:
        return outcome.failed(self._attempt.claim, ErrorCode.DATASET_INVALID, message)

    def _step_over(self, how: str) -> Outcome | None:
        """Blame the file that a child died on, or the container where it could not be opened.

        Before that the job is tried again.
        """
        _log.warning("decoding child ended", how=how, done=len(self._checked))
        if self._is_opening:
            self._is_opening = False
            self._openings += 1
            if self._openings < _OPENINGS:
                return None
            return self._invalid(f"The file cannot be opened: its decoder ended ({how}).")
        if self._begun is None:
            message = f"The decoder ended before it looked at a file ({how})."
            settings = self._attempt.station.settings
            raise InterruptedRunError(outcome.retried(self._attempt.claim, settings, message))
        self._spent += self._begun.spent + _CPU_SECONDS
        self._keep(self._begun.otherwise)
        return None
