"""`python -m worker.ingest.child`: decodes one upload in a sandbox, one verdict a line.

It may die on any image; the supervisor then starts another one behind it.
"""

import hashlib
import os
import sys
import time

from core.archive import ArchiveError, Entry
from core.processes import die_with_parent
from regraft.contract.verdict import Verdict
from worker.ingest import decode, sandbox
from worker.ingest.containers import Container, opener
from worker.ingest.messages import (
    Begun,
    Checked,
    Finished,
    Line,
    Opened,
    Opening,
    Refused,
    Task,
    thumbnail_name,
)
from worker.line_process import PARENT_VARIABLE

_TOO_COSTLY = (
    "Not looked at: the files before it took all the processor time of one upload. Send it again "
    "in another."
)


def main() -> None:
    """Read one task from standard input and answer on standard output."""
    if not sandbox.leave_network():
        sys.stderr.write("decoder: no network of its own; the kernel does not allow it\n")
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    task = Task.model_validate_json(sys.stdin.buffer.readline())
    decode.prepare(task.limits)
    open_container = opener(task)
    sandbox.enter(task.memory)
    sandbox.allow_cpu(task.seconds)
    _say(Opening())
    try:
        container = open_container(task)
    except ArchiveError as error:
        _say(Refused(message=str(error)))
        return
    _say(Opened(count=len(container.entries)))
    for index in range(task.start, len(container.entries)):
        sandbox.allow_cpu(task.seconds)
        spent = time.process_time()
        begun = Begun(otherwise=_listed(index, container.entries[index]), spent=spent)
        _say(begun)
        if spent > task.budget:
            _say(_rejected(begun.otherwise, Verdict.DECODER_FAILED, _TOO_COSTLY))
        else:
            _say(_check(container, task, begun.otherwise))
    _say(Finished())


def _listed(index: int, entry: Entry) -> Checked:
    return Checked(
        index=index,
        path=entry.path,
        label=entry.label,
        group=entry.group,
        split=entry.split,
        verdict=Verdict.DECODER_FAILED,
        message="The decoder failed on this file.",
    )


def _check(container: Container, task: Task, said: Checked) -> Checked:
    """Return the verdict on one file, its clean copy written first where there is one."""
    try:
        made = decode.clean(container.read(said.index), task.limits)
    except ArchiveError as error:
        return _rejected(said, Verdict.CORRUPT, str(error))
    except decode.RejectedError as error:
        return _rejected(said, error.verdict, error.message)
    except Exception as error:  # noqa: BLE001 - a decoder raises anything at all
        sys.stderr.write(f"decoder: {type(error).__name__}: {error}\n")
        return said
    # By index: a repeat of an earlier image must not share a file that is being taken away.
    (task.out / str(said.index)).write_bytes(made.data)
    (task.out / thumbnail_name(said.index)).write_bytes(made.thumbnail)
    return said.model_copy(
        update={
            "verdict": Verdict.OK,
            "message": None,
            "sha256": hashlib.sha256(made.data).hexdigest(),
            "content": made.content,
            "thumbnail": hashlib.sha256(made.thumbnail).hexdigest(),
            "width": made.width,
            "height": made.height,
        }
    )


def _rejected(said: Checked, verdict: Verdict, message: str) -> Checked:
    return said.model_copy(update={"verdict": verdict, "message": message})


def _say(message: Line) -> None:
    sys.stdout.write(message.line())
    sys.stdout.flush()


if __name__ == "__main__":
    main()
