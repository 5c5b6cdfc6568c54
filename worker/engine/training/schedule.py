"""The learning rate over a training, as a share of its peak: a function of the place alone.

May import the standard library.
"""

import math

_WARM_UP = 0.1  # share of all steps
_FLOOR = 0.01


def rate_factor(step: int, num_steps: int) -> float:
    """Return the factor for step 0..num_steps-1: up linearly, then down along a cosine."""
    warm_up = max(1, round(_WARM_UP * num_steps))
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    share = (step - warm_up) / max(1, num_steps - warm_up)
    return max(_FLOOR, 0.5 + 0.5 * math.cos(math.pi * share))
