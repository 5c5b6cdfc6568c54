"""The lines between the serving process and a decoding child; bytes follow each of them."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from regraft.contract.verdict import Verdict
from worker.engine.shipped.predict import Settings

READY = b"ready\n"


class Preprocess(BaseModel):
    """A model's `preprocess.json`: how a photo becomes the input of its backbone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    resize: int = Field(ge=1, le=4096)
    input_size: int = Field(ge=1, le=4096)
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

    @property
    def settings(self) -> Settings:
        """The same, as the shipped predictor takes it."""
        return {
            "resize": self.resize,
            "input_size": self.input_size,
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
        }


class Encoded(BaseModel):
    """A photo of `size` bytes to decode."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    preprocess: Preprocess


class Decoded(BaseModel):
    """The verdict, and how many bytes of pixels follow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    verdict: Verdict
    message: str
