"""How far the photos of a window are from the images that a model learned from.

Hotelling's one-sample form of the two-sample T² (Anderson 2003, 5.2-5.3) on a random projection,
photos compared with the class that the model takes them for, so that another mix of products is no
drift. May import numpy, safetensors, db and regraft.contract.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from db.lifecycle.drift import Judgement, Tally
from worker.engine.shipped.predict import Floats

_CONVERGED = 1e-12
_TINY = 1e-300
_STEPS = 500
_BYTE = 8


class Reference(NamedTuple):
    """A model's `reference.safetensors`: see `worker.engine.reference`."""

    projection: Floats
    means: Floats
    counts: npt.NDArray[np.int64]
    whitening: Floats
    freedom: int

    @classmethod
    def of(cls, content: bytes, width: int) -> "Reference":
        """Read the file for features [n, width]; raises `ValueError` for anything else."""
        try:
            found = load(content)
            bits = found["signs"]
            ones = np.unpackbits(bits, axis=1, count=width)
            parts = (found["means"], found["counts"], found["whitening"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError("no reference") from error
        signs = (2.0 * ones.astype(np.float32) - 1.0) / np.float32(math.sqrt(width))
        means, counts, whitening = parts
        size = len(signs)
        if bits.shape[1] != -(-width // _BYTE) or means.shape != (len(counts), size):
            raise ValueError("its parts do not fit")
        if whitening.shape != (size, size):
            raise ValueError("its parts do not fit")
        freedom = int(counts.sum()) - int((counts > 0).sum())
        if freedom < size:
            raise ValueError("it rests on too few images")
        return cls(signs, means, counts, whitening, freedom)

    @property
    def num_bytes(self) -> int:
        """What it takes of memory."""
        return sum(part.nbytes for part in self[:4])

    def deviations(self, features: Floats, classes: npt.NDArray[np.int64]) -> Floats:
        """Return how features [n, d] deviate [n, k] from the means of their classes [n]."""
        found: Floats = features @ self.projection.T - self.means[classes]
        return found

    def judge(self, tally: Tally) -> Judgement:
        """Return how far a window is from the training images, and how often chance makes that.

        The variance of the mean deviation is that of the window's mean and of each class's mean,
        as often as the window asks for the class.
        """
        counts = np.asarray(tally.counts, dtype=np.float64)
        total, size = counts.sum(), len(self.whitening)
        mean = np.asarray(tally.sums, dtype=np.float64) / total
        shares = (counts / total) ** 2 / np.maximum(self.counts, 1)
        scale = 1.0 / total + float(shares.sum())
        squared = float(((self.whitening.astype(np.float64) @ mean) ** 2).sum())
        ratio = squared / scale * (self.freedom - size + 1) / (self.freedom * size)
        p_value = f_tail(ratio, size, self.freedom - size + 1)
        return Judgement(math.sqrt(max(0.0, squared - size * scale)), p_value)


def f_tail(value: float, first: float, second: float) -> float:
    """Return how often an F variable of these degrees of freedom is above `value`."""
    if value <= 0:
        return 1.0
    return _beta_share(second / 2, first / 2, second / (second + first * value))


def _beta_share(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function (Numerical Recipes, 6.4)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_share(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    log_front += a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function by Lentz's method."""
    c, d = 1.0, 1.0 / _away(1 - (a + b) * x / (a + 1))
    found = d
    for step in range(1, _STEPS):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        for term in (even, odd):
            d = 1.0 / _away(1 + term * d)
            c = _away(1 + term / c)
            found *= c * d
        if abs(c * d - 1) < _CONVERGED:
            break
    return found


def _away(value: float) -> float:
    """Return a divisor that is not zero."""
    return value if abs(value) > _TINY else _TINY
