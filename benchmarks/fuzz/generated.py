"""Requests that schemathesis makes from the live OpenAPI document, good ones and bad ones."""

import contextlib
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from benchmarks.fuzz.tally import Tally
from benchmarks.fuzz.target import Target

_TIMEOUT = 30
_QUIET = settings(
    max_examples=20,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def send_all(target: Target, tally: Tally, until: float, of: int) -> None:
    """Send rounds of every operation until the monotonic clock says `until`; `of` is the seed.

    Half of the requests name what exists: a wrong id is refused before much else is seen.
    """
    schema = schemathesis.openapi.from_url(f"{target.url}/openapi.json")
    rng = random.Random(of)
    while time.monotonic() < until:
        operations: list[Any] = list(schema.get_all_operations())
        rng.shuffle(operations)
        for found, mode in itertools.product(operations, GenerationMode):
            if time.monotonic() < until:  # generating costs time too, sent or not
                strategy = found.ok().as_strategy(generation_mode=mode)
                send = _sender(target, tally, until)
                # An operation without parameters has no bad requests to generate.
                with contextlib.suppress(Unsatisfiable):
                    seed(rng.getrandbits(32))(_QUIET(given(case=strategy)(send)))()


def _sender(target: Target, tally: Tally, until: float) -> Callable[[Any], None]:
    def send(case: Any) -> None:
        if time.monotonic() >= until:
            return
        if len(repr(case.path_parameters)) % 2:
            given_ids = case.path_parameters or {}
            given_ids.update({name: target.ids[name] for name in given_ids if name in target.ids})
        try:
            with tally.timed("generated"):
                answer = case.call(base_url=target.url, headers=target.headers, timeout=_TIMEOUT)
        except (requests.RequestException, ValueError, UnicodeError):
            return  # what cannot be sent, or was cut off; a dead process shows in the end
        sent = (case.method, case.path, case.body)
        tally.answered("generated", answer.status_code, answer.content, sent)

    return send
