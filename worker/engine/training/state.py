"""All that a training changes, in one place, and its way into a checkpoint and back.

May import torch and the engine's own modules.
"""

from typing import Any

import torch
from torch import Tensor, nn

from worker.engine.checkpoints import Saved
from worker.engine.training.network import Network

State = dict[str, Tensor]


class Best:
    """The best network so far on held-out images: its weights, and how it did."""

    def __init__(self) -> None:
        self.weights: State | None = None
        self.right = -1
        self.log_loss = 0.0
        self.epoch = -1

    def offer(self, network: Network, right: int, log_loss: float, epoch: int) -> None:
        """Keep a copy of the network if more is right, or as much with a lower log-loss."""
        if (right, -log_loss) > (self.right, -self.log_loss):
            self.weights = {name: value.clone() for name, value in network.state_dict().items()}
            self.right, self.log_loss, self.epoch = right, log_loss, epoch


class TrainingState:
    """Network, objective and optimiser, the number of steps taken, and the best so far.

    `micro_batch` is how many images pass at once: less than a batch where memory was short.
    """

    def __init__(
        self,
        network: Network,
        objective: nn.Module,
        optimiser: torch.optim.Optimizer,
        micro_batch: int,
    ) -> None:
        self.network = network
        self.objective = objective
        self.optimiser = optimiser
        self.micro_batch = micro_batch
        self.step = 0
        self.is_trained = False
        self.best = Best()

    def saved(self) -> Saved:
        """Return what a checkpoint holds; batch order and chance follow from the step."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.best.weights is not None:
            tensors |= {f"best.{name}": value for name, value in self.best.weights.items()}
        tensors |= {
            f"objective.{name}": value for name, value in self.objective.state_dict().items()
        }
        if not self.is_trained:
            for number, parameter in enumerate(self._parameters()):
                for name, value in self.optimiser.state[parameter].items():
                    tensors[f"optimiser.{number}.{name}"] = value
        best = {"right": self.best.right, "log_loss": self.best.log_loss, "epoch": self.best.epoch}
        note = {
            "step": self.step,
            "micro_batch": self.micro_batch,
            "is_trained": self.is_trained,
            "best": best,
        }
        return Saved(tensors, note)

    def restore(self, saved: Saved) -> None:
        """Stand where `saved` stood."""
        self.network.load_state_dict(_under(saved.tensors, "network."), strict=True)
        self.objective.load_state_dict(_under(saved.tensors, "objective."), strict=True)
        for number, parameter in enumerate(self._parameters()):
            state = _under(saved.tensors, f"optimiser.{number}.")
            if state:
                self.optimiser.state[parameter] = _placed(state, parameter)
        note: dict[str, Any] = saved.note
        self.step, self.micro_batch = note["step"], note["micro_batch"]
        self.is_trained = note["is_trained"]
        self.best.weights = _under(saved.tensors, "best.") or None
        self.best.right, self.best.epoch = note["best"]["right"], note["best"]["epoch"]
        self.best.log_loss = note["best"]["log_loss"]

    def _parameters(self) -> list[nn.Parameter]:
        return [one for group in self.optimiser.param_groups for one in group["params"]]


def _under(tensors: State, prefix: str) -> State:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _placed(state: State, parameter: nn.Parameter) -> State:
    """Return an optimiser's state with each tensor laid out as its parameter is."""
    return {
        name: torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
        for name, value in state.items()
    }
