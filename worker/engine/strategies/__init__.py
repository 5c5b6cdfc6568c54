"""The ways of transferring, by name: each turns labelled images and a backbone into a model.

Adding one: a module here with a function of `Strategy`'s type, and its line in `STRATEGIES`.
"""

from worker.engine.strategies.base import Fitted, Strategy, Task
from worker.engine.strategies.linear_probe import linear_probe

STRATEGIES: dict[str, Strategy] = {"linear_probe": linear_probe}

__all__ = ["STRATEGIES", "Fitted", "Strategy", "Task"]
