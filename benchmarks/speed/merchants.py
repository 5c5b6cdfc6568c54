"""Many small merchants through the whole service: upload, queue, training, files.

`--more` is their number; each sends 50 photos of its own and submits one job. Prints one JSON
line: seconds from the first submit to the last `succeeded`, and from claim to end of each job.
"""

import statistics
import time
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.speed.case import Options, main
from benchmarks.speed.images import photos
from deploy.stack import Account, Stack
from regraft.client import Client

_PHOTOS = 50
_DEADLINE = 1800.0


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """Yield one round: all merchants submit at once, and all their jobs are waited for."""
    count = int(options.more)
    environment = {"REGRAFT_LOG_LEVEL": "WARNING", "REGRAFT_API_RATE_REQUESTS": str(10**9)}
    with Stack(options.work / "home", environment=environment) as stack:
        _one(stack, stack.create_merchant("Warm up"), options.work, 10**6)
        merchants = [stack.create_merchant(f"Merchant {number}") for number in range(count)]
        sets = [
            _upload(stack, merchant, options.work, 10**6 + _PHOTOS * (number + 1))
            for number, merchant in enumerate(merchants)
        ]
        with options.timed() as done:
            jobs = [_submit(stack, one, data) for one, data in zip(merchants, sets, strict=True)]
            spent = [_wait(stack, one, job) for one, job in zip(merchants, jobs, strict=True)]
        yield done | {
            "merchants": count,
            "photos": count * _PHOTOS,
            "seconds_a_job": round(statistics.median(spent), 3),
        }


def _one(stack: Stack, merchant: Account, work: Path, first: int) -> float:
    data = _upload(stack, merchant, work, first)
    return _wait(stack, merchant, _submit(stack, merchant, data))


def _upload(stack: Stack, merchant: Account, work: Path, first: int) -> str:
    folder = photos(work / "sent" / str(first), _PHOTOS, first)
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as out:
        for photo in sorted(folder.rglob("*.jpg")):
            out.write(photo, photo.relative_to(folder))
    with Client(stack.url, merchant.key) as client:
        return client.datasets.wait(client.datasets.push(path).id).id


def _submit(stack: Stack, merchant: Account, dataset: str) -> str:
    with Client(stack.url, merchant.key) as client:
        return client.jobs.submit(dataset=dataset).id


def _wait(stack: Stack, merchant: Account, job_id: str) -> float:
    """Return the seconds from the job's start to its end."""
    ends = time.monotonic() + _DEADLINE
    with Client(stack.url, merchant.key) as client:
        while time.monotonic() < ends:
            job = client.jobs.get(job_id)
            if job.finished_at is not None and job.started_at is not None:
                if job.status != "succeeded":
                    raise RuntimeError(f"{job_id} ended as {job.status}: {job.error}")
                began, ended = map(datetime.fromisoformat, (job.started_at, job.finished_at))
                return (ended - began).total_seconds()
            time.sleep(0.2)
    raise TimeoutError(f"{job_id} did not end")


if __name__ == "__main__":
    main(measure)
