"""What moves while one waits: bars on a terminal, plain lines elsewhere; always on stderr.

May import rich, the client and the contract.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from regraft.cli.session import err
from regraft.client.download import OnBytes
from regraft.contract.batch import Batch
from regraft.contract.erasure import Erasure
from regraft.contract.resources import Dataset, Job
from regraft.contract.validation import printable

_STEPS = 10
_LONGEST = 300


@contextmanager
def transfer(label: str, *, quiet: bool) -> Iterator[OnBytes]:
    """Show bytes moving; gives the function to call with (done, total)."""
    console = err()
    if not console.is_terminal:
        yield _in_lines(label, quiet=quiet)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=console) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _in_lines(label: str, *, quiet: bool) -> OnBytes:
    """Say it once, when all is done."""
    said = False

    def on_bytes(done: int, total: int) -> None:
        nonlocal said
        if done >= total and not said and not quiet:
            say(f"{label}: {total / 1e6:.1f} MB")
            said = True

    return on_bytes


@contextmanager
def watch_dataset(*, quiet: bool) -> Iterator[Callable[[Dataset], None]]:
    """Show a dataset being read in."""
    with _watch(quiet=quiet) as update:
        yield lambda it: update(
            f"{it.id} {it.status}, {it.num_images} images", 1.0 if it.status == "ready" else None
        )


@contextmanager
def watch_erasure(*, quiet: bool) -> Iterator[Callable[[Erasure], None]]:
    """Show a dataset being erased."""
    with _watch(quiet=quiet) as update:
        yield lambda it: update(
            f"{it.id} {it.status}, {it.deleted.images} images gone",
            1.0 if it.status == "done" else None,
        )


@contextmanager
def watch_job(*, quiet: bool) -> Iterator[Callable[[Job | Batch], None]]:
    """Show a job's or a batch's status, phase and fraction."""
    with _watch(quiet=quiet) as update:
        yield lambda job: update(_where(job), _how_far(job))


def _how_far(job: Job | Batch) -> float | None:
    """Return the fraction of the way that a job has come, 0-1, where that is known."""
    if job.status.value == "succeeded":
        return 1.0
    return job.progress.fraction if job.progress else None


def _where(job: Job | Batch) -> str:
    """Return where a job is, in a few words."""
    if job.queue and job.queue.jobs_ahead:
        return f"{job.id} {job.status.value}, {job.queue.jobs_ahead} ahead"
    if job.progress and job.status.value == "running":
        return f"{job.id} {job.progress.phase}"
    return f"{job.id} {job.status.value}"


@contextmanager
def _watch(*, quiet: bool) -> Iterator[Callable[[str, float | None], None]]:
    console = err()
    if not console.is_terminal:
        yield _silence if quiet else _on_change()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn())
    with Progress(
        *columns, TaskProgressColumn(), TimeElapsedColumn(), console=console, transient=True
    ) as bar:
        task = bar.add_task("", total=None)

        def update(text: str, fraction: float | None) -> None:
            total = None if fraction is None else 1.0
            description = printable(text, _LONGEST)
            bar.update(task, description=description, completed=fraction or 0.0, total=total)

        yield update


def _on_change() -> Callable[[str, float | None], None]:
    """Return a function that prints a line for each new status, phase or tenth of the way."""
    last: tuple[str, int] | None = None

    def update(text: str, fraction: float | None) -> None:
        nonlocal last
        now = (text, int((fraction or 0.0) * _STEPS))
        if now != last:
            say(text if fraction is None else f"{text} {fraction:.0%}")
        last = now

    return update


def _silence(_text: str, _fraction: float | None) -> None:
    """Show nothing: stderr may be a log beside the JSON."""


def say(text: str) -> None:
    """Print one line on stderr."""
    err().print(printable(text, _LONGEST), soft_wrap=True)
