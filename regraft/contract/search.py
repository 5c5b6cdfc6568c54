"""Search: the images of a dataset that look most like a product."""

from typing import Literal

from regraft.contract.metrics import Shown


class SearchResult(Shown):
    """One image of the dataset: its product and label where they are known, and where it is shown.

    `score` is the cosine of the angle between its features and the query's, 1 for the same.
    """

    image: str
    name: str
    group: str | None
    label: str | None
    score: float
    url: str


class UnreadPhoto(Shown):
    """A photo of the query that was left out: the verdict that an upload would give it."""

    image: str
    code: str
    message: str


class Search(Shown):
    """The images of a dataset that look most like what a query's photos show, best first.

    `num_images` were compared; `num_missing` have no features in this model's space and were not.
    `recall` is the share of the ten true neighbours that are found, measured on the dataset
    itself, 1 where every image is compared (`exact`).
    """

    object: Literal["search"] = "search"
    dataset: str
    model: str
    num_images: int
    num_missing: int
    exact: bool
    recall: float
    results: list[SearchResult]
    errors: list[UnreadPhoto]
