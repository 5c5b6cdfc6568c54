"""`predictions.json`: what a model says of every image that it was not trained on.

Written by the engine, downloaded by merchants, and read to compare two models image by image.
"""

from pydantic import Field

from regraft.contract.metrics import Shown

FILE_NAME = "predictions.json"


class Prediction(Shown):
    """One held-out image: its label, the one it was taken for, and how surely (0-1)."""

    image: str
    sha256: str
    label: str
    predicted: str
    probability: float


class HeldOut(Shown):
    """The predictions for the images held out of training, and for those of the test."""

    validation: list[Prediction] = Field(default=[])
    test: list[Prediction] = Field(default=[])
