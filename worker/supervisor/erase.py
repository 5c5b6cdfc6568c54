"""Kind `erase`: delete what a dataset consisted of, then what this host keeps of it.

Other hosts tidy their caches when they see that an erasure has ended (`worker.slot_keeper`).
"""

import time
from collections.abc import Callable

from sqlalchemy.orm import Session

from db.lifecycle import erasing
from db.lifecycle.erasing import Step
from regraft.contract.resources import Progress
from worker.forgetting import forget
from worker.supervisor import outcome
from worker.supervisor.attempt import Attempt
from worker.supervisor.outcome import InterruptedRunError, Outcome

_WAIT_SECONDS = 0.5
_PARTS = 8


def erase(attempt: Attempt) -> Outcome:
    """Erase one dataset to its end; whatever an earlier attempt has done is not there any more."""
    claim = attempt.claim
    named, stripped = claim.spec.get("blobs"), claim.spec.get("files")
    hashes = [str(sha256) for sha256 in named] if isinstance(named, list) else []
    files = list(stripped.items()) if isinstance(stripped, dict) else []

    gone = [model_id for model_id, names in files if names is None]

    def model_files(session: Session) -> Step:
        return erasing.erase_files(session, claim, *files.pop()) if files else Step(0, waits=False)

    def blobs(session: Session) -> Step:
        step = erasing.erase_blobs(session, claim, hashes)
        del hashes[: step.gone]
        return step

    steps: list[Callable[[Session], Step]] = [
        lambda session: erasing.erase_answers(session, claim, gone),
        model_files,
        lambda session: erasing.erase_images(session, claim),
        lambda session: erasing.erase_features(session, claim),
        lambda session: erasing.erase_container(session, claim),
        lambda session: erasing.erase_checkpoints(session, claim),
        blobs,
    ]
    for done, step in enumerate(steps):
        attempt.heart.progress(Progress(phase="preparing", fraction=done / _PARTS))
        _until_done(attempt, step)
    while forget(attempt.station.database, attempt.station.places):
        attempt.check()
        time.sleep(_WAIT_SECONDS)
    erasing.scrub(attempt.station.database)
    return outcome.erased(claim)


def _until_done(attempt: Attempt, step: Callable[[Session], Step]) -> None:
    """Repeat a step until it finds nothing more, waiting where other jobs must end first."""
    while True:
        attempt.check()
        with attempt.station.database.write() as session:
            if not erasing.is_mine(session, attempt.claim):
                raise InterruptedRunError(outcome.ABANDONED)
            did = step(session)
        if did.waits:
            time.sleep(_WAIT_SECONDS)
        elif did.gone == 0:
            return
