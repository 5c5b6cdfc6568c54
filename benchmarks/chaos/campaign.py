"""A campaign from its first process to its verdict."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from benchmarks.chaos import oracle, resumption
from benchmarks.chaos.availability import Availability
from benchmarks.chaos.cluster import LIGHT, REAL, Cluster, cluster
from benchmarks.chaos.injector import Injector
from benchmarks.chaos.journal import Journal
from benchmarks.chaos.merchants import Shop
from benchmarks.chaos.options import Options
from benchmarks.chaos.plan import plan
from benchmarks.chaos.recovery import Recovery, percentile, recoveries
from benchmarks.chaos.telling import Audience, everything_is_told
from core.queues import INGEST_CLASS
from db.models import Job
from regraft.client import Client
from regraft.contract.status import TERMINAL, JobKind
from tests.support.jobs import wait_for
from tests.support.merchants import Merchant, create
from tests.support.receiver import receiver
from tests.support.webhooks import waiting

_NAMES = ("Acme Home Goods", "Zenith Electronics", "Nadir Garden")
_TICK_SECONDS = 0.02
_QUIET_SECONDS = 150.0
_TOLD_SECONDS = 60.0
_SETTLE_SECONDS = 30.0
_SAMPLES = Path(__file__).parents[2] / "samples" / "objects" / "target"
_STALE = re.compile(r"refused: stale fence|attempt abandoned")


def run(options: Options) -> dict[str, Any]:
    """Run one campaign and return its line; `breaches` is empty if all went well."""
    options.home.mkdir(parents=True, exist_ok=True)
    journal = Journal()
    with cluster(options) as service, receiver() as told:
        shops = _shops(options, service, journal)
        audience = Audience(told, options.seed)
        audience.join(service.database, [shop.merchant for shop in shops])
        able = Availability(service, (LIGHT, REAL, INGEST_CLASS))
        with _at_work(service, shops, able):
            _storm(options, service, journal, shops, audience)
        breaches = [*_until_quiet(service, journal), *_verdict(options, service, journal)]
        with service.database.read() as session:
            breaches += everything_is_told(session, told.heard)
        return {**_line(options, service, journal, able, breaches), "calls": len(told.heard)}


def _shops(options: Options, service: Cluster, journal: Journal) -> list[Shop]:
    """Create the merchants and, through the API and ingest, a dataset for each."""
    folder = options.home / "photos"
    for label in ("fruit", "bird"):
        shutil.copytree(_SAMPLES / label, folder / label)
    shops = []
    for name in _NAMES:
        merchant = create(service.database, name)
        dataset = _dataset(service, merchant, folder)
        pools = (LIGHT, REAL) if options.real else (LIGHT,)
        datasets = dict.fromkeys(pools, dataset)
        shops.append(Shop(merchant, datasets, service.ports, journal, options.in_flight))
    return shops


def _dataset(service: Cluster, merchant: Merchant, folder: Path) -> str:
    url = f"http://127.0.0.1:{service.ports[LIGHT]}"
    with Client(url, merchant.key) as client:
        return client.datasets.wait(client.datasets.push(folder, merchant.name).id).id


@contextmanager
def _at_work(service: Cluster, shops: list[Shop], able: Availability) -> Iterator[None]:
    """Let the merchants work; at the end let them finish what they have begun."""
    able.start()
    for shop in shops:
        shop.start()
    try:
        yield
    finally:
        for shop in shops:
            shop.closing.set()
        while any(shop.is_alive() for shop in shops):
            service.keep_up()
            time.sleep(_TICK_SECONDS)


def _storm(
    options: Options, service: Cluster, journal: Journal, shops: list[Shop], audience: Audience
) -> None:
    """Inject what is planned, keep the processes up, and heal everything at the end."""

    def storm() -> None:
        for shop in shops:
            shop.storm.set()

    injector = Injector(service, journal, storm)
    planned = plan(options)
    began = time.monotonic()
    while (spent := time.monotonic() - began) < options.seconds:
        while planned and planned[0].at <= spent:
            injector.inject(planned[0].fault, planned.pop(0).draw)
        injector.heal()
        audience.tend()
        service.keep_up()
        time.sleep(_TICK_SECONDS)
    audience.heal()
    injector.heal(everything=True)
    service.keep_up()


def _until_quiet(service: Cluster, journal: Journal) -> Iterator[str]:
    """Wait until no job is left that could still move, and the last strays are swept."""

    def open_jobs() -> int:
        service.keep_up()
        query = select(func.count()).where(Job.status.not_in(TERMINAL))
        with service.database.read() as session:
            return session.scalar(query) or 0

    def strays() -> list[str]:
        return list(oracle.nothing_is_left(service, journal))

    def untold() -> int:
        service.keep_up()
        return waiting(service.database)

    parts = ((open_jobs, _QUIET_SECONDS), (untold, _TOLD_SECONDS), (strays, _SETTLE_SECONDS))
    for left, seconds in parts:
        try:
            wait_for(partial(_is_over, left), seconds)
        except TimeoutError:
            yield f"not quiet after {seconds:g} s: {left.__name__}"


def _is_over(left: Callable[[], object]) -> bool:
    return not left()


def _verdict(options: Options, service: Cluster, journal: Journal) -> Iterator[str]:
    with service.database.read() as session:
        found = oracle.histories(session)
        yield from oracle.every_job_ended(session, journal)
        yield from oracle.nothing_is_doubled(session)
        yield from oracle.submissions_are_single(session)
        yield from oracle.moves_are_legal(session, found)
        yield from oracle.failures_are_explained(session, journal, options.db)
        yield from resumption.work_goes_on(found, resumption.marks(session))
    yield from oracle.results_are_whole(service.database)
    yield from oracle.nothing_is_left(service, journal)
    yield from oracle.answers_are_explained(journal, options.db)


def _line(
    options: Options, service: Cluster, journal: Journal, able: Availability, breaches: list[str]
) -> dict[str, Any]:
    with service.database.read() as session:
        found, marked = oracle.histories(session), resumption.marks(session)
        counts = _counts(session)
        attempts = session.scalar(select(func.sum(Job.attempt))) or 0
        losses = session.scalar(select(func.sum(Job.lost_count))) or 0
    measured = recoveries(journal, found, able, service.settings.timings)
    late = [f"I6 {one}" for one in measured if one.able > one.allowed]
    return {
        "seed": options.seed,
        "db": options.db,
        "seconds": options.seconds,
        "jobs": counts,
        "attempts": attempts,
        "losses": losses,
        "faults": journal.counts(),
        "lost": sum(breach.startswith("I1") for breach in breaches),
        "doubled": sum(breach.startswith("I2") for breach in breaches),
        "stale_writes_refused": sum(len(_STALE.findall(log)) for log in service.logs()),
        "recovery": _figures(measured),
        "repeated_work": _spread(resumption.repeated(journal, found, marked)),
        "get_p99_ms": _milliseconds(percentile(journal.reads, 99)),
        "breaches": [*breaches, *late],
    }


def _counts(session: Session) -> dict[str, int]:
    """Return how many jobs ended how: trainings and uploads by device class, others by kind."""
    columns = (Job.kind, Job.device_class, Job.status)
    rows = session.execute(select(*columns, func.count()).group_by(*columns))
    trainings = {JobKind.TRAIN, JobKind.INGEST}
    return {
        f"{device_class if kind in trainings else kind}/{status}": count
        for kind, device_class, status, count in rows
    }


def _figures(measured: list[Recovery]) -> dict[str, Any]:
    figures: dict[str, Any] = {"deaths": len(measured)}
    for name in ("able", "first", "queued", "wall"):
        spread = _spread([float(getattr(one, name)) for one in measured])
        figures |= {f"{name}_{figure}": value for figure, value in spread.items()}
    figures["first_over"] = sum(one.first > one.allowed for one in measured)
    return figures


def _spread(seconds: list[float]) -> dict[str, float | None]:
    found = {f"p{percent}_s": percentile(seconds, percent) for percent in (50, 99, 100)}
    return {name: value and round(value, 2) for name, value in found.items()}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)
