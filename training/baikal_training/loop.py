"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from baikal_deploy.diffusion.schedule import NoiseSchedule
from baikal_deploy.errors import ConfigError
from baikal_training.config import TrainingConfig
from baikal_training.data import Augmentation, CleanVolume, CropDataset
from baikal_training.distributed import World
from baikal_training.ema import Ema
from baikal_training.loader import Batches
from baikal_training.losses import Diffusion
from baikal_training.noise import MeasuredNoise
from baikal_training.samples import BatchPlan, Sample, SampleDataset, TimestepSampler
from baikal_training.watch import Watch

LOOK_EVERY = 50
"""Steps between looks at whether all was finite, where a look makes the device wait."""


@dataclass(frozen=True)
class Step:
    """One finished optimiser step.

    Attributes:
        iteration: how many steps are done.
        loss_on_device: of the batch, over all processes.
        learning_rate: that the step was taken with.
        seconds: of training since it began, over all sessions.
        is_last: True for the step that ends the training.
    """

    iteration: int
    loss_on_device: Tensor
    learning_rate: float
    seconds: float
    is_last: bool

    @property
    def loss(self) -> float:
        """The loss as a number; waits until the device has computed it."""
        return float(self.loss_on_device)


class Trainer:
    """A trainer of one network, in place, step by step.

    Everything random follows from the seed and a sample's number; a state that is restored continues
    exactly as the uninterrupted run would have.

    Attributes:
        net: the network being trained.
        ema: moving average of its weights.
        iteration: steps done.
    """

    def __init__(
        self,
        net: nn.Module,
        diffusion: Diffusion,
        schedule: NoiseSchedule,
        config: TrainingConfig,
        world: World,
        noise: MeasuredNoise | None = None,
    ) -> None:
        """``noise`` takes the place of white noise."""
        self.noise = noise
        self.part = config.check_processes(world.size)
        self.net = net.to(world.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.diffusion, self.schedule, self.config, self.world = diffusion, schedule, config, world
        self.ema = Ema(net, config.ema)
        self.optimiser = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, fused=True)
        self.iteration, self.seconds = 0, 0.0
        wrapped = world.wrap(self.net)
        self._forward = torch.compile(wrapped) if config.compiled else wrapped
        self._watch = Watch(world.device)
        # Looking makes a GPU wait; on a CPU it costs nothing.
        self.look_every = 1 if world.device.type == "cpu" else LOOK_EVERY

    def check(self) -> None:
        """Raise ConfigError if a loss, gradient or weight is not finite; waits for the device."""
        self._watch.check()
        if not all(bool(weights.isfinite().all()) for weights in self.net.parameters()):
            raise ConfigError(
                f"the weights became infinite by iteration {self.iteration}; lower --learning-rate"
            )

    def state(self) -> dict[str, Any]:
        """The state that ``restore`` needs, beside the moving average.

        Raises:
            ConfigError: it would hold what is not finite.
        """
        self.check()
        return {
            "iteration": self.iteration,
            "seconds": self.seconds,
            "ema_updates": self.ema.updates,
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any], ema: dict[str, Tensor]) -> None:
        """Continue where ``state`` was taken."""
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.ema.restore(ema, state["ema_updates"])

    def steps(
        self, volumes: Sequence[CleanVolume], augmentation: Augmentation, workers: int
    ) -> Iterator[Step]:
        """Train to the end.

        Args:
            volumes: clean volumes to draw crops from.
            augmentation: random changes of the crops.
            workers: processes that read and augment; 0 does it in between the steps.

        Raises:
            ConfigError: the loss or the gradient became NaN or infinite; the weights are still
                those of the step before. On a GPU it is found up to LOOK_EVERY steps later, none of
                which has changed the weights.
        """
        crops = CropDataset(volumes, self.config.crop, self.config.seed, augmentation)
        timesteps = TimestepSampler(self.schedule, self.config.timesteps, self.noise)
        samples = SampleDataset(crops, timesteps, self.config.seed, self.noise)
        plan = BatchPlan(
            self.iteration,
            self.config.iterations,
            self.part,
            self.config.accumulate * self.world.size,
            self.world.rank,
            self.world.size,
        )
        with Batches(samples, plan, workers, self.world.device) as batches:
            yield from self._steps(batches)

    def _steps(self, batches: Iterator[Sample]) -> Iterator[Step]:
        clock = time.process_time if self.config.clock == "cpu" else time.monotonic
        began = clock() - self.seconds
        progress = self.config.progress(self.iteration, self.seconds)
        while progress < 1:
            rate = self.config.learning_rate_at(self.iteration, progress)
            loss = self._step(batches, rate)
            self.iteration += 1
            self.seconds = clock() - began
            if self.config.minutes is not None:  # all processes end at the same step
                self.seconds = self.world.from_main(self.seconds)
            progress = self.config.progress(self.iteration, self.seconds)
            if progress >= 1 or self.iteration % self.look_every == 0:
                self._watch.check()
            yield Step(self.iteration, loss, rate, self.seconds, progress >= 1)

    def _step(self, batches: Iterator[Sample], rate: float) -> Tensor:
        """The loss on the device; nothing here waits for it."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        parts = [self._backward(next(batches)) for _ in range(self.config.accumulate)]
        loss = self.world.mean(torch.stack(parts).sum())
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.config.gradient_clip)
        self._watch.see(self.iteration + 1, loss, norm)
        # Where this is 1, the fused optimiser leaves the weights as they are: what torch's GradScaler uses.
        self.optimiser.found_inf = self._watch.failed  # type: ignore[attr-defined]
        self.optimiser.step()
        self.ema.update()
        return loss

    def _backward(self, part: Sample) -> Tensor:
        """Add the gradient of one part of the batch; return its share of the loss."""
        x0, t, noise = (tensor.to(self.world.device, non_blocking=True) for tensor in part)
        with torch.autocast(self.world.device.type, dtype=torch.bfloat16, enabled=self.config.bf16):
            loss = self.diffusion.loss(self._forward, x0, t, noise) / self.config.accumulate
        loss.backward()
        return loss.detach()
