"""The queue: bounded, and no merchant waits behind all photos of another."""

import threading

import pytest

from serve.turns import FullError, Turns


def test_merchants_take_turns() -> None:
    """A merchant with a thousand photos would delay everybody's one."""
    turns: Turns[str] = Turns(10)
    for item in ("a1", "a2", "a3"):
        turns.put("a", item)
    turns.put("b", "b1")
    assert turns.take(3) == ["a1", "b1", "a2"]
    assert turns.take(3) == ["a3"]


def test_it_is_bounded() -> None:
    """Memory would grow until the process is killed, and all answers would come too late."""
    turns: Turns[int] = Turns(2)
    turns.put("a", 1)
    turns.put("b", 2)
    with pytest.raises(FullError):
        turns.put("c", 3)
    assert turns.take(5) == [1, 2]
    turns.put("c", 3)


def test_a_closed_one_gives_what_it_holds_and_ends() -> None:
    """A thread that waits for ever would keep the process from ending."""
    turns: Turns[int] = Turns(2)
    turns.put("a", 1)
    turns.close()
    with pytest.raises(FullError):
        turns.put("a", 2)
    assert turns.take(1) == [1]
    assert turns.take(1) == []


def test_whoever_comes_within_the_linger_is_taken_along() -> None:
    """Two merchants' photos would pass the backbone one after the other."""
    turns: Turns[int] = Turns(4)
    turns.put("a", 1)
    late = threading.Timer(0.05, turns.put, ("b", 2))
    late.start()
    assert turns.take(2, linger=20.0) == [1, 2]
    late.join()
