"""What a model says of photos: answers, and vectors to compare them by."""

from typing import Literal

from regraft.contract.metrics import Shown

MAX_TOP = 100  # labels that one answer may list


class PhotoError(Shown):
    """Why a photo has no answer: the verdict that an upload would give it, and the reason."""

    code: str
    message: str


class Guess(Shown):
    """A label and its calibrated probability."""

    label: str
    probability: float


class Predicted(Shown):
    """The answer to one photo, or to `num_images` photos of one product together.

    `image` is the photo's name, null where several were pooled, `group` the product's where one
    was given. The model abstains where the probability is below the label's threshold, and always
    where the label has none. With an `error` there is no answer.
    """

    image: str | None
    group: str | None
    num_images: int
    label: str | None
    probability: float | None
    abstained: bool
    top: list[Guess]
    error: PhotoError | None


class Prediction(Shown):
    """The answers to the photos of one request, in their order."""

    object: Literal["prediction"] = "prediction"
    model: str
    results: list[Predicted]


class Embedded(Shown):
    """One photo as a vector, or the mean vector of `num_images` photos of one product."""

    image: str | None
    group: str | None
    num_images: int
    vector: list[float] | None
    error: PhotoError | None


class Embedding(Shown):
    """The vectors of the photos of one request, in their order.

    Vectors are comparable between models with the same `backbone_sha256`.
    """

    object: Literal["embedding"] = "embedding"
    model: str
    backbone_sha256: str
    results: list[Embedded]
