"""What is not finite stays out of the weights, also where it is noticed late, as on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError
from baikal_training.config import TrainingConfig
from baikal_training.data import Augmentation, CropDataset
from baikal_training.distributed import World
from baikal_training.loader import Batches
from baikal_training.loop import Step, Trainer
from baikal_training.losses import Diffusion, Objective
from baikal_training.samples import BatchPlan, Sample, SampleDataset, TimestepSampler
from baikal_training.watch import Watch
from tests.clean import clean_volumes
from tests.models import tiny_net

SCHEDULE = ScheduleSpec("linear", 1000).build()
BAD = 4
"""The iteration, from 1, whose loss is spoilt."""


class Spoilt(Diffusion):
    """A loss that is not finite once, and fine again afterwards."""

    def __init__(self, value: float, only_gradient: bool = False) -> None:
        super().__init__(SCHEDULE, Objective())
        self.value, self.only_gradient, self.calls = value, only_gradient, 0

    def loss(self, net: Any, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        self.calls += 1
        loss = super().loss(net, x0, t, noise)
        if self.calls != BAD:
            return loss
        # sqrt(0) has an infinite gradient, and is 0.
        return loss + (0 * loss).sqrt() if self.only_gradient else loss * self.value


def trainer(diffusion: Diffusion, look_every: int) -> Trainer:
    config = TrainingConfig(iterations=12, batch=2, crop=16, warm_up=1, learning_rate=1e-3)
    made = Trainer(tiny_net(), diffusion, SCHEDULE, config, World())
    made.look_every = look_every
    return made


def weights(trainer: Trainer) -> list[Tensor]:
    return [value.detach().clone() for value in trainer.net.parameters()]


def run(trainer: Trainer, seen: list[Step] | None = None) -> None:
    for step in trainer.steps(clean_volumes(), Augmentation(), workers=0):
        if seen is not None:
            seen.append(step)


@pytest.mark.parametrize("look_every", [1, 5, 100])
@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), None], ids=str)
def test_weights_are_those_before_the_bad_step(look_every: int, spoilt: float | None) -> None:
    good = trainer(Diffusion(SCHEDULE, Objective()), 1)
    expected = []
    for step in good.steps(clean_volumes(), Augmentation(), workers=0):
        if step.iteration == BAD - 1:
            expected = weights(good)
    diffusion = Spoilt(1.0, only_gradient=True) if spoilt is None else Spoilt(spoilt)
    bad, seen = trainer(diffusion, look_every), list[Step]()
    with pytest.raises(ConfigError, match=f"the loss became .* at iteration {BAD}; lower --learning-rate"):
        run(bad, seen)
    assert len(seen) == {1: BAD - 1, 5: 4, 100: 11}[look_every]  # found at the next look, or at the end
    assert all(torch.equal(a, b) for a, b in zip(weights(bad), expected, strict=True))
    assert all(value.isfinite().all() for value in bad.ema.weights.values())


def test_no_state_is_given_out_before_a_look() -> None:
    bad = trainer(Spoilt(float("nan")), 100)
    steps = bad.steps(clean_volumes(), Augmentation(), workers=0)
    for _ in range(BAD - 1):
        next(steps)
    assert bad.state()["iteration"] == BAD - 1
    next(steps)
    with pytest.raises(ConfigError, match=f"at iteration {BAD}"):
        bad.state()


def test_weights_that_overflow_are_never_given_out() -> None:
    made = trainer(Diffusion(SCHEDULE, Objective()), 1)
    with torch.no_grad():
        next(made.net.parameters()).view(-1)[0] = torch.inf
    with pytest.raises(
        ConfigError, match="the weights became infinite by iteration 0; lower --learning-rate"
    ):
        made.state()


def test_the_first_failure_is_kept() -> None:
    watch = Watch(torch.device("cpu"))
    for iteration, loss in enumerate([1.0, float("nan"), 2.0, float("inf")], 1):
        watch.see(iteration, torch.tensor(loss), torch.tensor(3.0))
        assert float(watch.failed) == (iteration > 1)
    with pytest.raises(ConfigError, match=r"the loss became nan and the gradient 3\.0 at iteration 2"):
        watch.check()


def test_a_loss_is_read_when_it_is_asked_for() -> None:
    step = Step(1, torch.tensor(0.25), 1e-3, 2.0, False)
    assert step.loss == 0.25
    assert isinstance(step.loss, float)


def test_a_step_reads_nothing_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU would be waited for: ``float`` of a tensor, ``item``, ``tolist``, ``cpu``, ``numpy``."""
    made = trainer(Diffusion(SCHEDULE, Objective()), 100)

    def waits(*_: Any) -> None:
        raise AssertionError("this waits for the device")

    batches = [next(iter_of(made)) for _ in range(2)]
    for name in ("__float__", "__int__", "__bool__", "item", "tolist", "cpu", "numpy"):
        monkeypatch.setattr(Tensor, name, waits)
    losses = [made._step(iter([batch]), 1e-3) for batch in batches]
    monkeypatch.undo()
    assert all(float(loss) > 0 for loss in losses)


def iter_of(trainer: Trainer) -> Iterator[Sample]:
    crops = CropDataset(clean_volumes(), 16, 0, Augmentation())
    samples = SampleDataset(crops, TimestepSampler(SCHEDULE, "denoising"), 0)
    return iter(Batches(samples, BatchPlan(0, None, trainer.part, 1), 0, torch.device("cpu")))
