"""All chance of a training, as a function of its seed and where it stands.

Nothing is carried from step to step, so a resumed run needs no generator's state: it draws what
the unbroken run would have drawn. May import torch.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_BYTES = 8


def seed_of(seed: int, what: str, number: int) -> int:
    """Return the seed of one purpose at one place, e.g. ("order", epoch)."""
    digest = hashlib.sha256(f"{seed}:{what}:{number}".encode()).digest()
    return int.from_bytes(digest[:_BYTES], "big") >> 1


def generator(seed: int, what: str, number: int) -> torch.Generator:
    """Return a generator for one purpose at one place."""
    return torch.Generator().manual_seed(seed_of(seed, what, number))


@contextmanager
def seeded(seed: int, what: str, number: int) -> Iterator[None]:
    """Let everything inside draw from one place's seed; the global state is left as it was.

    For what draws from torch's global generators: dropout, stochastic depth, augmentation.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(seed, what, number))
        yield
