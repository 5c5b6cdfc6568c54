"""Buckets of requests: what is let in at once, and what comes back with time."""

from hypothesis import given
from hypothesis import strategies as st

from api.rates import Rates
from api.settings import ApiSettings


def test_a_bucket_empties_and_fills() -> None:
    """A client that waits as long as it is told would be refused again."""
    rates = Rates(10, 5.0)
    left = [rates.take(b"acme", 100.0) for _ in range(12)]
    assert [one.remaining for one in left] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
    assert [one.wait for one in left] == [0] * 10 + [1, 1]
    assert (left[0].limit, left[9].reset) == (10, 5)
    assert rates.take(b"acme", 100.0 + left[-1].wait).wait == 0
    assert rates.take(b"acme", 200.0).remaining == 9


def test_a_slow_rate_says_how_long() -> None:
    """A client would knock every second for an hour."""
    rates = Rates(1, 60.0)
    rates.take(b"acme", 0.0)
    assert rates.take(b"acme", 15.0).wait == 45


def test_one_key_leaves_the_others_alone() -> None:
    """One merchant's loop would be everybody's refusal."""
    rates = Rates(3, 10.0)
    for _ in range(50):
        rates.take(b"acme", 1.0)
    assert rates.take(b"zenith", 1.0).remaining == 2


def test_processes_share_the_rate() -> None:
    """Four processes would let four times the rate through."""
    api = ApiSettings(workers=4, rate_requests=400, rate_seconds=10)
    assert Rates.of(api).take(b"acme").limit == 100


def test_strangers_do_not_fill_the_memory() -> None:
    """Every invented key would be remembered for ever."""
    rates = Rates(10, 1.0)
    for number in range(25_000):
        rates.take(str(number).encode(), number / 1000)
    assert len(rates._buckets) <= 10_001


@given(st.lists(st.floats(0, 3), min_size=1, max_size=80))
def test_never_more_than_the_rate(gaps: list[float]) -> None:
    """A burst at the right moment would pass twice the rate."""
    rates, now, let_in = Rates(5, 2.0), 0.0, []
    for gap in gaps:
        now += gap
        if rates.take(b"acme", now).wait == 0:
            let_in.append(now)
    for start in let_in:
        within = sum(start <= moment <= start + 2.0 for moment in let_in)
        assert within <= 5 + 5 + 1
