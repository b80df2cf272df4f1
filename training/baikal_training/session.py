"""A training run from volumes to a finished checkpoint: trains, logs, validates, saves."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baikal_deploy._version import __version__
from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_training.checkpoint import Checkpoint
from baikal_training.config import TrainingConfig
from baikal_training.data import Augmentation, CleanVolume, Split, in_memory, validation_crops
from baikal_training.distributed import World
from baikal_training.loader import default_workers
from baikal_training.loop import Step, Trainer
from baikal_training.losses import Diffusion, Objective
from baikal_training.noise import MeasuredNoise
from baikal_training.pace import Pace, crops_that_fit
from baikal_training.runs import LAST, Row, RunFolder, check_same_run, levels_in
from baikal_training.seen import seen
from baikal_training.start import Start, first_model
from baikal_training.unet import UNet
from baikal_training.unet_config import UNetConfig
from baikal_training.validation import CROPS, PART, Validation

Progress = Callable[[Step, Row], None]
"""A function (step, its row of the log) -> None that shows the progress."""
Say = Callable[[str], None]
"""A function that shows a line."""


@dataclass(frozen=True)
class Definition:
    """Everything but the data that defines a trained model."""

    unet: UNetConfig
    schedule: ScheduleSpec
    objective: Objective
    normalisation: Normalisation
    config: TrainingConfig
    augmentation: Augmentation = field(default_factory=Augmentation)
    start: Start | None = None
    noise: MeasuredNoise | None = None

    def __post_init__(self) -> None:
        if self.config.crop % self.unet.downsampling:
            raise ConfigError(f"--crop {self.config.crop}: must be a multiple of {self.unet.downsampling}")


@dataclass(frozen=True)
class Housekeeping:
    """Options that do not change the result.

    Attributes:
        report_every: steps between rows of the log.
        save_every: steps between checkpoints, with validation where there is time for it.
        workers: processes that read and augment; 0 does it in between the steps; None: as many as pay.
        memory: bytes of volumes that are held in memory; larger ones are read as needed.
    """

    report_every: int = 50
    save_every: int = 500
    workers: int | None = None
    memory: int = 2 << 30

    def __post_init__(self) -> None:
        for name, least in (("report_every", 1), ("save_every", 1), ("workers", 0), ("memory", 0)):
            if (getattr(self, name) or 0) < least:
                raise ConfigError(f"training: {name} {getattr(self, name)}: must be at least {least}")


class Session:
    """One model in the making: trains, logs, validates, saves."""

    def __init__(
        self, definition: Definition, split: Split, world: World, housekeeping: Housekeeping, folder: Path
    ) -> None:
        self.definition, self.split, self.world = definition, split, world
        self.housekeeping, self.folder = housekeeping, folder
        self.schedule = definition.schedule.build()
        self.diffusion = Diffusion(self.schedule, definition.objective, world.device)
        self.pace = Pace()
        torch.manual_seed(definition.config.seed)
        net = UNet(definition.unet)
        self.before: dict[str, Any] | None = None
        self.at_start: Row | None = None
        if definition.start is not None:
            first = first_model(definition.start)
            net.load_state_dict(first.ema)
            self.before = definition.start.record(first)
        self.trainer = Trainer(net, self.diffusion, self.schedule, definition.config, world, definition.noise)

    def run(self, resume: bool, progress: Progress, say: Say) -> Checkpoint | None:
        """Train to the end, or continue from the run folder's last checkpoint.

        Returns:
            The finished model, in the main process; None in the others.

        Raises:
            ConfigError: the folder holds another run, or none to resume; the training diverged.
            VolumeError: pixels that cannot be read, or are not finite.
            ModelError: a checkpoint cannot be read or written; the one before it stays.
        """
        corpus = self.split.corpus_as_dict()
        parts = self.split.as_dict() | ({} if corpus is None else {"corpus": corpus})
        description = asdict(self.definition), parts
        if resume:
            check_same_run(self.folder, *description)
            last = Checkpoint.load(self.folder / LAST)
            assert last.state is not None, "the run folder's own checkpoint has a state"
            self.trainer.restore(last.state, last.ema)
            self.at_start = last.training.get("start_psnr_db")
        if not self.world.is_main:
            for _ in self._steps():
                pass
            return None
        folder = self.folder
        opened = (
            RunFolder.reopen(folder, self.trainer.iteration)
            if resume
            else RunFolder.create(folder, *description)
        )
        with closing(opened) as run:
            self._train(run, progress, say)
            return self._finished(run)

    def _steps(self) -> Iterator[Step]:
        held = in_memory(self.split.training, self.housekeeping.memory)
        last = self.folder / LAST
        try:
            yield from self.trainer.steps(held, self.definition.augmentation, self._workers())
        except ConfigError as error:
            kept = f"{last} is from before that" if last.exists() else "no checkpoint was due before that"
            raise ConfigError(f"{error}; {kept}") from error
        except VolumeError as error:
            # A worker's error arrives with its traceback; the message stands at the end.
            raise VolumeError(str(error).rpartition("VolumeError: ")[2].strip()) from error

    def _workers(self) -> int:
        chosen = self.housekeeping.workers
        return default_workers(self.world.device, self.world.local) if chosen is None else chosen

    def _train(self, run: RunFolder, progress: Progress, say: Say) -> None:
        """The loop, with its log and checkpoints."""
        validation = self._validation(self.split.validation)
        self._look_at_start(run, validation, say)
        losses: list[Tensor] = []
        since = time.monotonic()
        for step in self._steps():
            losses.append(step.loss_on_device)
            saving = step.is_last or step.iteration % self.housekeeping.save_every == 0
            if not saving and step.iteration % self.housekeeping.report_every:
                continue
            speed = len(losses) * self.definition.config.batch / (time.monotonic() - since)
            values = {
                "loss": float(np.mean(torch.stack(losses).tolist())),
                "learning_rate": step.learning_rate,
                "crops_per_second": round(speed, 2),
            }
            progress(step, values)
            if saving:
                self._save(run, step, values, validation, say)
            else:
                run.log(step.iteration, values)
            losses, since = [], time.monotonic()

    def _look_at_start(self, run: RunFolder, validation: Validation | None, say: Say) -> None:
        """A row of the model that the training starts from, for comparison with what it becomes."""
        if self.before is None or validation is None or self.trainer.iteration:
            return
        found = self._validated(run, 0, {}, validation, say)
        self.at_start = levels_in(found)
        say(f"before training: one-evaluation PSNR on validation volumes, dB by noise level: {self.at_start}")

    def _save(self, run: RunFolder, step: Step, values: Row, validation: Validation | None, say: Say) -> None:
        """A row of the log, with validation if it is due, and the checkpoint."""
        state = self.trainer.state()  # first: no figure is made of weights that are not finite
        if validation is None or not self.pace.is_due(step.seconds, step.is_last):
            run.log(step.iteration, values)
        else:
            self._validated(run, step.iteration, values, validation, say)
        self._checkpoint(self._record(run), state).save(run.last)

    def _validated(
        self, run: RunFolder, iteration: int, values: Row, validation: Validation, say: Say
    ) -> Row:
        """Log a row with figures and pictures of a validation; return the figures."""
        with self.pace.validating():
            net = self._averaged()
            found = {f"psnr_{sigma}": value for sigma, value in validation.psnr(net).items()}
            found["validation_loss"] = validation.loss(net)
            panel = validation.panel(net)
        run.log(iteration, values | found, panel)
        if self.pace.count == 1:
            say(self.pace.summary())
        return found

    def _validation(self, volumes: Sequence[CleanVolume]) -> Validation | None:
        if not volumes:
            return None
        crops = validation_crops(volumes, self.definition.config.crop, CROPS)
        whole = Validation(self.diffusion, self.schedule, crops, self.definition.noise)
        count = crops_that_fit(
            whole.seconds_each(self._averaged()), self.definition.config.minutes, CROPS, PART
        )
        return whole.of_first(count)

    def _averaged(self) -> UNet:
        """The network with the moving average of the weights."""
        net = UNet(self.definition.unet).to(self.world.device)
        net.load_state_dict(self.trainer.ema.weights)
        return net.eval()

    def _checkpoint(self, record: dict[str, Any], state: dict[str, Any] | None) -> Checkpoint:
        return Checkpoint(
            unet=self.definition.unet,
            schedule=self.definition.schedule,
            objective=self.definition.objective,
            normalisation=self.definition.normalisation,
            ema=self.trainer.ema.weights,
            training=record,
            split=self.split.as_dict(),
            state=state,
        )

    def _record(self, run: RunFolder) -> dict[str, Any]:
        """A record of how the weights came about, for whoever gets the model."""
        parts = self.split.as_dict()
        return {
            "unet": self.definition.unet.as_dict(),
            "config": asdict(self.definition.config),
            "before": self.before,
            "start_psnr_db": self.at_start,
            "noise": None if self.definition.noise is None else asdict(self.definition.noise),
            "augmentation": asdict(self.definition.augmentation),
            "iterations": self.trainer.iteration,
            "minutes": round(self.trainer.seconds / 60, 1),
            "corpus": self.split.corpus_as_dict(),
            "volumes": {part: len(volumes) for part, volumes in parts.items()},
            "planes": {part: sum(v["planes"] for v in volumes) for part, volumes in parts.items()},
            "final": run.rows[-1],
            "processes": self.world.size,
            "versions": {"baikal-deploy": __version__, "torch": str(torch.__version__)},
            "machine": f"{platform.machine()}, {self.world.device.type}, {torch.get_num_threads()} threads",
        }

    def _finished(self, run: RunFolder) -> Checkpoint:
        """The model, with figures on volumes that nothing was chosen by."""
        record = self._record(run)
        test = self._validation(self.split.test)
        if test is not None:
            record["test_psnr_db"] = test.psnr(self._averaged())
        record["seen"] = seen(self.split.training, self._averaged(), self.diffusion, self.schedule)
        return self._checkpoint(record, None)
