"""Moving average of weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Ema:
    """Exponential moving average of a network's weights; sampling with it is steadier.

    Attributes:
        weights: the average, named like the network's state.
        updates: how many there were.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._followed = net.state_dict()  # the network's own tensors, which training changes in place
        self.weights = {name: value.detach().clone() for name, value in self._followed.items()}

    def update(self) -> None:
        self.updates += 1
        # A short memory at first: the initial weights must not linger.
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        average = get_ema_multi_avg_fn(decay)
        average(list(self.weights.values()), list(self._followed.values()), None)

    def restore(self, weights: dict[str, Tensor], updates: int) -> None:
        self.updates = updates
        for name, value in weights.items():
            self.weights[name].copy_(value)
