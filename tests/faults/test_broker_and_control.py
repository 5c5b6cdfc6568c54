"""Faults of Redis, control and the API: what a merchant submitted runs all the same, once."""

import random
import signal
import threading
import time
import uuid
from functools import partial

import pytest
from redis import Redis
from sqlalchemy import func, select

from benchmarks.chaos.plan import Fault
from db.models import Job
from db.repositories import jobs
from regraft.contract.status import TERMINAL, JobStatus
from tests.support.scene import Scene

pytestmark = pytest.mark.slow
IN_FLIGHT = 20


@pytest.mark.fault("F5")
def test_a_redis_that_is_wiped_again_and_again(stage: Scene, dice: random.Random) -> None:
    """Whatever waits in Redis would be lost, for ever and without a word."""
    job_ids = stage.queue(IN_FLIGHT, milliseconds=100)
    for _ in range(6):
        stage.pause(dice, 0.6)
        stage.injector.inject(Fault.FLUSH_REDIS, 0)
    stage.recover(job_ids)
    assert {stage.row(job_id).attempt for job_id in job_ids} == {1}


@pytest.mark.fault("F6")
def test_a_dead_redis_stops_no_submit_and_no_running_job(stage: Scene) -> None:
    """A restart of Redis would be an outage for every merchant."""
    (running,) = stage.queue(milliseconds=1000)
    stage.wait(partial(stage.is_training, running))
    redis = stage.service.redis
    redis.stop()
    try:
        replies = [stage.post() for _ in range(5)]
        stage.wait(partial(stage.ended, [running]))
        queued = [reply.job_id for reply in replies if reply.job_id]
        assert {reply.status for reply in replies} == {202}
        assert {stage.row(job_id).status for job_id in queued} == {JobStatus.QUEUED}
    finally:
        redis.start()
    stage.recover([running, *queued])
    assert {stage.row(job_id).attempt for job_id in [running, *queued]} == {1}


@pytest.mark.fault("F6")
def test_a_full_redis_only_delays(stage: Scene) -> None:
    """A broker without memory would swallow jobs that were accepted."""
    with Redis.from_url(stage.service.redis.url) as redis:
        redis.config_set("maxmemory", 1)
        try:
            job_ids = stage.queue(6)
            time.sleep(1.0)
            assert {stage.row(job_id).status for job_id in job_ids} == {JobStatus.QUEUED}
        finally:
            redis.config_set("maxmemory", 64 * 1024 * 1024)
    stage.recover(job_ids)


@pytest.mark.fault("F7")
def test_a_hung_redis_delays_no_answer(stage: Scene) -> None:
    """An API that publishes would hang with the broker, and so would every merchant's request."""
    process = stage.service.redis.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        replies = [stage.post() for _ in range(10)]
        assert {reply.status for reply in replies} == {202}
        assert time.monotonic() - began < 5
        time.sleep(3)
    finally:
        process.send_signal(signal.SIGCONT)
    stage.recover([str(reply.job_id) for reply in replies])


@pytest.mark.fault("F10")
def test_junk_and_duplicates_start_nothing_twice(stage: Scene, dice: random.Random) -> None:
    """Whoever can write to Redis could run jobs twice, or stop the workers."""
    before = [stage.service.process(name).pid for name in stage.service.workers]
    job_ids = stage.queue(IN_FLIGHT, milliseconds=50)
    for _ in range(5):
        stage.injector.inject(Fault.JUNK_MESSAGES, dice.getrandbits(32))
    stage.recover(job_ids)
    assert {stage.row(job_id).attempt for job_id in job_ids} == {1}
    assert [stage.service.process(name).pid for name in stage.service.workers] == before


@pytest.mark.fault("F11", "F24")
def test_control_dies_between_the_mark_and_the_message(stage: Scene) -> None:
    """A job that was marked as sent, and never was, would wait for ever."""
    process = stage.service.redis.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        job_ids = stage.queue(3)
        stage.wait(lambda: any(stage.row(job_id).dispatched_at for job_id in job_ids))
        for name in ("control-1", "control-2"):
            stage.service.kill(name)
    finally:
        process.send_signal(signal.SIGCONT)
    stage.recover(job_ids)


@pytest.mark.fault("F19")
def test_a_killed_api_answers_a_repeat_with_the_same_job(stage: Scene) -> None:
    """A merchant whose connection broke would pay for two trainings, or get none."""
    key = uuid.uuid4().hex
    answered: list[str] = []

    def insist() -> None:
        while len(answered) < 2:
            reply = stage.post(key=key)
            answered.extend([reply.job_id] if reply.job_id else [])
            time.sleep(0.02)

    merchant = threading.Thread(target=insist, daemon=True)
    merchant.start()
    stage.service.kill("api")
    stage.wait(lambda: not merchant.is_alive())
    assert answered[0] == answered[1]
    stage.recover(answered)


@pytest.mark.fault("F20")
def test_a_storm_of_cancels_ends_every_job_once(stage: Scene, dice: random.Random) -> None:
    """A cancelled job would run on, or a finished one lose its model."""
    job_ids = stage.queue(IN_FLIGHT, milliseconds=150)
    owners = dict(stage.journal.acknowledged)
    for job_id in dice.sample(job_ids, IN_FLIGHT - 4):
        stage.pause(dice, 0.2)
        with stage.database.write() as session:
            if jobs.find(session, owners[job_id], job_id).status not in TERMINAL:
                jobs.cancel(session, owners[job_id], job_id)
    stage.wait(partial(stage.ended, job_ids), 15)
    stage.recover(job_ids)
    with stage.database.read() as session:
        query = select(func.count()).where(Job.id.in_(job_ids))
        assert session.scalar(query.where(Job.status == JobStatus.FAILED)) == 0
        assert session.scalar(query.where(Job.status == JobStatus.CANCELLED))
