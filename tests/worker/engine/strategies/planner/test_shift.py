"""The distance of two domains is 0 for one domain and 2 for two that nobody could confuse."""

import torch

from worker.engine.strategies.planner.shift import proxy_a_distance


def _cloud(seed: int, shift: float) -> torch.Tensor:
    return torch.randn(200, 8, generator=torch.Generator().manual_seed(seed)) + shift


def test_it_grows_with_the_shift_from_none_to_all() -> None:
    """Any source would seem near, or any far."""
    none, some, much = (proxy_a_distance(_cloud(1, 0), _cloud(2, by)) for by in (0, 0.5, 9))
    assert none < 0.4 < some < 1.9 < much <= 2


def test_one_image_is_no_domain() -> None:
    """A classifier of nothing would end in an error."""
    assert proxy_a_distance(_cloud(1, 0)[:1], _cloud(2, 9)) == 0
