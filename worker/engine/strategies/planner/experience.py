"""What is trained where nothing can be compared: what gained where it was measured (ADR 0017).

May import torch, the contract and the engine's own modules.
"""

from regraft.contract.strategies import Mmd
from worker.engine.context import Context
from worker.engine.failures import EngineError
from worker.engine.strategies.alignment import mmd
from worker.engine.strategies.base import Fitted, Task
from worker.engine.strategies.planner.trials import Way, is_affordable

EPOCHS = 12  # what was measured


def trained_unseen(task: Task, context: Context) -> Fitted | None:
    """Return what experience says of a task whose source is trusted; null for a head.

    Where no class has two images both domains are drawn together.
    """
    if bool((task.folds >= 0).any()) or context.should_stop():
        return None
    way = Way(Mmd(), mmd)
    if not is_affordable(task, way, EPOCHS, context):
        return None
    try:
        return way.strategy(task, way.options, context)
    except EngineError as error:
        context.event(f"Tried {way.options.type}: {error.message}", "warn")
        return None
