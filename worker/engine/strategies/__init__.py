"""The ways of transferring, by name: each turns labelled images and a backbone into a model.

Adding one: a module here with a function of `Strategy`'s type, and its line in `STRATEGIES`.
"""

from worker.engine.strategies.alignment import coral, dann, mmd
from worker.engine.strategies.auto import auto
from worker.engine.strategies.base import Fitted, Source, Strategy, Task
from worker.engine.strategies.fine_tuning import full_finetune, l2_sp, lp_ft, partial_finetune
from worker.engine.strategies.instance_weighting import instance_weighting
from worker.engine.strategies.linear_probe import linear_probe
from worker.engine.strategies.prototype import prototype

STRATEGIES: dict[str, Strategy] = {
    "linear_probe": linear_probe,
    "auto": auto,
    "prototype": prototype,
    "partial_finetune": partial_finetune,
    "full_finetune": full_finetune,
    "lp_ft": lp_ft,
    "l2_sp": l2_sp,
    "instance_weighting": instance_weighting,
    "coral": coral,
    "mmd": mmd,
    "dann": dann,
}

__all__ = ["STRATEGIES", "Fitted", "Source", "Strategy", "Task"]
