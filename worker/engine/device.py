"""Where training computes, and in which precision: decided here alone.

May import torch.
"""

from contextlib import AbstractContextManager, nullcontext

import torch


def device() -> torch.device:
    """Return the device that trains: the first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision(where: torch.device) -> AbstractContextManager[object]:
    """Return what forward passes run in: bf16 on a GPU, which gains from it; else full."""
    if where.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
