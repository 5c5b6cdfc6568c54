"""What a campaign sends to, and the chances that it takes."""

import random
from typing import NamedTuple


class Target(NamedTuple):
    """A running service, a merchant's key, and a dataset and a job of that merchant."""

    url: str
    key: str
    dataset: str
    job: str

    @property
    def headers(self) -> dict[str, str]:
        """The header that authenticates the merchant."""
        return {"Authorization": f"Bearer {self.key}"}

    @property
    def ids(self) -> dict[str, str]:
        """What exists, by the name that paths give it."""
        return {"dataset_id": self.dataset, "job_id": self.job}


def by_chance(rng: random.Random, percent: int) -> bool:
    """Return True so many times in a hundred."""
    return rng.randrange(100) < percent
