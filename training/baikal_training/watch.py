"""A watch over loss and gradient that no step has to wait for."""

from __future__ import annotations

import torch
from torch import Tensor

from baikal_deploy.errors import ConfigError


class Watch:
    """The first loss or gradient that was not finite, kept on the device.

    A GPU computes behind the program that drives it, and a step that reads its loss waits for it. So each
    step is seen on the device, and ``failed`` keeps the optimiser there from taking it or any that follows
    (as in gradient scaling: Micikevicius et al. 2018, section 3.2). The program looks now and then.

    Attributes:
        failed: 1 from the first step on whose loss or gradient was not finite, before 0.
    """

    def __init__(self, device: torch.device) -> None:
        self._first = torch.zeros(4, dtype=torch.float64, device=device)  # failed, iteration, loss, norm
        self.failed = self._first[0].float()

    def see(self, iteration: int, loss: Tensor, norm: Tensor) -> None:
        """Look at a step before it is taken; ``iteration`` counts from 1."""
        one, number = (torch.full_like(loss, value, dtype=torch.float64) for value in (1, iteration))
        now = torch.stack([one, number, loss.double(), norm.double()])
        bad = ~(loss.double() + norm.double()).isfinite()
        self._first = torch.where(bad & (self._first[0] == 0), now, self._first)
        self.failed = self._first[0].float()

    def check(self) -> None:
        """Raise ConfigError if a step was not finite; waits for the device."""
        failed, iteration, loss, norm = self._first.tolist()
        if failed:
            raise ConfigError(
                f"the loss became {loss} and the gradient {norm} at iteration {iteration:.0f}; "
                f"lower --learning-rate"
            )
