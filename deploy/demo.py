"""`make demo`: one real adaptation job through every real part, as a merchant's engineer runs it.

Starts the embedded stack, speaks to it through the published client alone, and stops it again.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.stack import Account, Stack
from regraft.client import Client, NotFoundError
from regraft.contract.metrics import Metrics
from regraft.contract.resources import Dataset, Job

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "samples" / "fashion-mnist"
_say = Console(highlight=False, soft_wrap=True)


@contextmanager
def _step(title: str) -> Iterator[None]:
    """Print what is being done, and how many seconds it took."""
    _say.print(f"[bold]{title}[/]")
    started = time.monotonic()
    yield
    _say.print(f"  [dim]{time.monotonic() - started:.1f} s[/]")


def _push(client: Client) -> Dataset:
    dataset = client.datasets.push(SAMPLES / "target", "shoes and bags")
    ready = client.datasets.wait(dataset.id)
    classes = ", ".join(f"{entry.name} ({entry.num_images})" for entry in ready.classes)
    _say.print(f"  {ready.id}: {ready.num_images} images, {ready.num_rejected} rejected; {classes}")
    return ready


def _follow(client: Client, job: Job) -> Job:
    columns = (TextColumn("  {task.description:<11}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_say) as bar:
        task = bar.add_task("queued", total=1.0)

        def show(seen: Job) -> None:
            if seen.progress is not None:
                bar.update(task, completed=seen.progress.fraction)
            phase = seen.progress.phase if seen.progress and not seen.finished_at else seen.status
            bar.update(task, description=str(phase))

        done = client.jobs.wait(job.id, on_update=show)
        bar.update(task, completed=1.0, description="succeeded")
    return done


def _quality(name: str, metrics: Metrics | None) -> tuple[str, str, str, str]:
    if metrics is None:
        return (name, "-", "-", "-")
    low, high = metrics.accuracy_interval
    return (
        name,
        f"{100 * metrics.accuracy:.1f}%",
        f"{100 * low:.1f} to {100 * high:.1f}",
        f"{100 * metrics.macro_f1:.1f}%",
    )


def _report(job: Job) -> None:
    if job.metrics is None or job.transfer is None:
        raise RuntimeError(f"{job.id} succeeded without metrics")
    table = Table("model", "accuracy", "95% interval", "macro-F1", box=None, pad_edge=True)
    table.add_row(*_quality("adapted", job.metrics.validation))
    table.add_row(*_quality("from scratch", job.transfer.from_scratch))
    _say.print(table)
    if gain := job.transfer.gain:
        low, high = gain.interval
        points = f"{gain.points:+.1f} points ({low:+.1f} to {high:+.1f})"
        _say.print(f"  gain over the same budget spent on training from scratch: {points}")
    _say.print(f"  {job.transfer.explanation}")


def _classify(bundle: Path) -> None:
    """Run the bundle's own `predict.py` on photos that no training saw."""
    with tempfile.TemporaryDirectory() as room:
        zipfile.ZipFile(bundle).extractall(room)
        photos = sorted((SAMPLES / "target-test").rglob("*.png"))
        command = [sys.executable, "predict.py", "--json", *map(str, photos)]
        done = subprocess.run(command, cwd=room, check=True, capture_output=True, text=True)
    guesses = {
        Path(row["image"]): row for row in (json.loads(line) for line in done.stdout.splitlines())
    }
    right = sum(guess["label"] == photo.parent.name for photo, guess in guesses.items())
    abstained = sum(guess["abstained"] for guess in guesses.values())
    for photo in photos[:: len(photos) // 4]:
        label, probability = guesses[photo]["label"], guesses[photo]["probability"]
        _say.print(f"  {photo.parent.name}/{photo.name}: {label} ({probability:.2f})")
    _say.print(
        f"  {right} of {len(guesses)} held-out photos right, with the bundle alone, "
        f"which abstains from {abstained} of them"
    )


def _predict(client: Client, job: Job) -> None:
    """Print what the service itself says of a photo that no training saw."""
    photo = min((SAMPLES / "target-test").rglob("*.png"))
    (found,) = client.models.predict(str(job.model), [photo]).results
    said = "  ".join(f"{guess.label} ({guess.probability:.2f})" for guess in found.top)
    abstains = "abstains, perhaps " if found.abstained else ""
    _say.print(f"  {photo.parent.name}/{photo.name}: {abstains}{said}")


def _refused(url: str, other: Account, dataset: Dataset, job: Job) -> None:
    """Ask for everything with the second merchant's key; each answer must be 404."""
    model = str(job.model)
    with Client(url, other.key) as client:
        asked: dict[str, Callable[[], object]] = {
            "dataset": lambda: client.datasets.get(dataset.id),
            "images": lambda: list(client.datasets.images(dataset.id)),
            "job": lambda: client.jobs.get(job.id),
            "events": lambda: list(client.jobs.events(job.id)),
            "cancel": lambda: client.jobs.cancel(job.id),
            "train on it": lambda: client.jobs.submit(dataset=dataset.id),
            "model": lambda: client.models.get(model),
            "files": lambda: client.models.files(model),
            "predict": lambda: client.models.predict(model, [ROOT / "LICENSE"]),
        }
        for name, ask in asked.items():
            try:
                ask()
            except NotFoundError as refused:
                _say.print(f"  {name}: {refused.status} {refused.code}")
            else:
                raise RuntimeError(f"the second merchant was shown the first one's {name}")


def _run(stack: Stack, home: Path) -> None:
    with _step("2. Create two merchants and their keys"):
        first, second = (stack.create_merchant(name) for name in ("Acme Shoes", "Zenith Bags"))
        _say.print(f"  {first.merchant} and {second.merchant}")
    with Client(stack.url, first.key) as client:
        with _step("3. Upload labelled photos (Fashion-MNIST's shoes and bags, 30 of each)"):
            dataset = _push(client)
        with _step("4. Adapt EfficientNet-Lite0 (ImageNet weights) with a linear probe"):
            submitted = client.jobs.submit(
                dataset=dataset.id,
                name="shoes and bags",
                strategy={"type": "linear_probe"},
                comparisons=["from_scratch"],
            )
            job = _follow(client, submitted)
            _report(job)
        with _step("5. Download the model"):
            bundle = client.models.download(str(job.model), "bundle.zip", home)
            _say.print(f"  {job.model}: bundle.zip, {bundle.stat().st_size / 1e6:.1f} MB")
    with _step("6. Classify held-out photos with the downloaded bundle"):
        _classify(bundle)
    with _step("7. Ask the service about one of them"), Client(stack.url, first.key) as client:
        _predict(client, job)
    with _step("8. Ask for all of it as the second merchant"):
        _refused(stack.url, second, dataset, job)


def main() -> None:
    """Run the demo in a folder of its own, which is removed when all went well."""
    started = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="regraft-demo-"))
    stack = Stack(home)
    _say.print(f"Regraft demo; state and logs in {home}")
    try:
        with _step(
            "1. Start the stack: SQLite, Redis, api, serve, control, ingest worker, trainer worker"
        ):
            stack.start()
            _say.print(f"  {stack.url}")
        _run(stack, home)
    finally:
        with _step("9. Stop everything"):
            stack.stop()
    shutil.rmtree(home)
    _say.print(f"[bold green]Done in {time.monotonic() - started:.1f} s.[/]")


if __name__ == "__main__":
    main()
