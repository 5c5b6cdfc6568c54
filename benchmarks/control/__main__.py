"""`python -m benchmarks.control`: measure, print one JSON document; see `make bench-control`."""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.control.bench import CLIENTS, SERVICE, Bench
from benchmarks.control.fill import finished_jobs
from benchmarks.control.load import Figures, Request
from benchmarks.control.transfers import transfers
from core.settings import Settings
from db.models import Job
from db.session import Database
from deploy.stack import Stack
from regraft.client import Client
from tests.support.postgres import Postgres, environment_for

_REPEATS = 5
_CASES = ("queue_to_start_ms", "submit", "poll", "list", "history", "transfers")


def submits(bench: Bench) -> dict[str, Any]:
    """Compare submitting with Redis up and with Redis stopped, each first in every other turn.

    Both begin with an empty queue: an answer names the job's place, and a long queue costs time.
    """
    redis = bench.stack.redis
    if redis is None:
        raise RuntimeError("the stack must run its own Redis")
    up: list[Figures] = []
    down: list[Figures] = []
    with bench.without_workers():
        for turn in range(_REPEATS):
            for measured in (up, down) if turn % 2 == 0 else (down, up):
                if measured is down:
                    redis.stop()
                measured.append(bench.load(bench.submit))
                if measured is down:
                    redis.start()
                bench.drop_queued()
    ratios = [two.per_second / one.per_second for one, two in zip(up, down, strict=True)]
    return {
        "redis_up": _median(up).shown(),
        "redis_stopped": _median(down).shown(),
        "ratio_stopped_to_up": round(statistics.median(ratios), 3),
        "clients": CLIENTS,
    }


def queue_to_start(bench: Bench, count: int) -> dict[str, float]:
    """Submit one job after another on a warm worker; times in ms from row to claim."""
    with Client(bench.stack.url, bench.account.key) as client:
        jobs = []
        for _ in range(count):
            jobs.append(client.jobs.submit(dataset=bench.dataset).id)
            _until_over(bench.database, jobs[-1])
    with bench.database.read() as session:
        waits = select(Job.started_at - Job.created_at).where(Job.id.in_(jobs[1:]))
        times = sorted(1000 * float(wait) for wait in session.scalars(waits) if wait is not None)
    return {
        "jobs": len(times),
        "p50": round(statistics.median(times), 1),
        "p99": round(times[int(0.99 * (len(times) - 1))], 1),
    }


def _until_over(database: Database, job: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with database.read() as session:
            if session.scalar(select(Job.finished_at).where(Job.id == job)) is not None:
                return
        time.sleep(0.005)
    raise TimeoutError(job)


def answers(bench: Bench) -> dict[str, list[Figures]]:
    """Measure each of submit, poll and list with one client, five times in turn."""
    cases = {"submit": bench.submit, "poll": bench.poll(), "list": Request("GET", "/v1/jobs")}
    found: dict[str, list[Figures]] = {name: [] for name in cases}
    with bench.without_workers():
        for _ in range(_REPEATS):
            for name, request in cases.items():
                found[name].append(bench.load(request, clients=1))
            bench.drop_queued()
    return found


def with_history(bench: Bench, few: int, many: int) -> dict[str, Any]:
    """Compare the same requests with `few` and with `many` finished jobs in the table."""
    with bench.database.read() as session:
        tenant = session.scalar(select(Job.tenant_id).where(Job.dataset_id == bench.dataset))
    finished_jobs(bench.database, str(tenant), bench.dataset, few)
    before = answers(bench)
    finished_jobs(bench.database, str(tenant), bench.dataset, many - few)
    after = answers(bench)
    with bench.database.read() as session:
        rows = session.scalar(select(func.count()).select_from(Job))
    return {
        "rows": rows,
        **{
            name: {
                f"p50_at_{few}": round(_median(before[name]).p50, 3),
                f"p50_at_{many}": round(_median(after[name]).p50, 3),
                "ratio": round(_median(after[name]).p50 / _median(before[name]).p50, 3),
            }
            for name in before
        },
    }


def _median(figures: list[Figures]) -> Figures:
    """Return the repeat whose p50 is the median."""
    return sorted(figures, key=lambda one: one.p50)[len(figures) // 2]


def measure(options: argparse.Namespace, environment: dict[str, str]) -> dict[str, Any]:
    """Run every case on one database."""
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as room:
        given = {**environment, **SERVICE}
        with Stack(Path(room), environment=given) as stack:
            url = environment.get("REGRAFT_DATABASE_URL", "")
            database = Database(Settings(home=Path(room), database_url=url).url)
            bench = Bench(stack, database, options.seconds)
            cases: dict[str, Callable[[], Any]] = {
                "queue_to_start_ms": lambda: queue_to_start(bench, options.jobs),
                "submit": lambda: submits(bench),
                "poll": lambda: bench.load(bench.poll()).shown(),
                "list": lambda: bench.load(Request("GET", "/v1/jobs")).shown(),
                "history": lambda: with_history(bench, options.few, options.many),
                "transfers": lambda: transfers(bench, options.megabytes),
            }
            found = {name: run() for name, run in cases.items() if name in options.case}
            database.dispose()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure on the databases asked for and print one JSON document."""
    parser = argparse.ArgumentParser(description="Control-plane speed.")
    parser.add_argument("--db", choices=["sqlite", "postgres", "both"], default="both")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--jobs", type=int, default=100, help="for queue-to-start")
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--megabytes", type=int, default=64, help="of each upload and download")
    parser.add_argument("--case", choices=_CASES, nargs="+", default=_CASES, metavar="CASE")
    options = parser.parse_args(arguments)
    found: dict[str, Any] = {"cores": os.cpu_count()}
    if options.db in {"sqlite", "both"}:
        found["sqlite"] = measure(options, {})
    if options.db in {"postgres", "both"}:
        with Postgres() as server:
            given = environment_for(server.create_database("bench"))
            found["postgres"] = measure(options, given)
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
