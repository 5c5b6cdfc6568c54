"""The contract's intervals, where the engine looks for them."""

from regraft.contract.intervals import Z95, paired_difference, wilson

__all__ = ["Z95", "paired_difference", "wilson"]
