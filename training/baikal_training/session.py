"""A training run from volumes to a finished checkpoint: trains, logs, validates, saves."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from baikal_deploy._version import __version__
from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.onnx_file import file_sha256
from baikal_training.checkpoint import Checkpoint
from baikal_training.config import TrainingConfig
from baikal_training.data import Augmentation, CleanVolume, Split, in_memory, validation_crops
from baikal_training.distributed import World
from baikal_training.loop import Step, Trainer
from baikal_training.losses import Diffusion, Objective
from baikal_training.noise import MeasuredNoise
from baikal_training.runs import LAST, Row, RunFolder, check_same_run
from baikal_training.seen import seen
from baikal_training.unet import UNet
from baikal_training.unet_config import UNetConfig
from baikal_training.validation import CROPS, Validation

Progress = Callable[[Step, Row], None]
"""A function (step, its row of the log) -> None that shows the progress."""


@dataclass(frozen=True)
class Start:
    """The checkpoint whose weights (the averaged ones) a training begins with."""

    path: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """The start from a checkpoint's file.

        Raises:
            ConfigError: the file cannot be read.
        """
        try:
            return cls(str(path), file_sha256(path))
        except OSError as error:
            raise ConfigError(f"--init {path}: cannot be read ({error.strerror})") from error


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
        save_every: steps between checkpoints, with validation.
        workers: processes that read and augment; 0 does it in between the steps.
        memory: bytes of volumes that are held in memory; larger ones are read as needed.
    """

    report_every: int = 50
    save_every: int = 500
    workers: int = 0
    memory: int = 2 << 30

    def __post_init__(self) -> None:
        for name, least in (("report_every", 1), ("save_every", 1), ("workers", 0), ("memory", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"training: {name} {getattr(self, name)}: must be at least {least}")


class Session:
    """One model in the making: trains, logs, validates, saves."""

    def __init__(
        self, definition: Definition, split: Split, world: World, housekeeping: Housekeeping, folder: Path
    ) -> None:
        self.definition, self.split, self.world = definition, split, world
        self.housekeeping, self.folder = housekeeping, folder
        self.schedule = definition.schedule.build()
        self.diffusion = Diffusion(self.schedule, definition.objective)
        torch.manual_seed(definition.config.seed)
        net = UNet(definition.unet)
        self.before: dict[str, Any] | None = None
        if definition.start is not None:
            first = checkpoint_to_start_from(definition, definition.start)
            net.load_state_dict(first.ema)
            self.before = {"sha256": definition.start.sha256, **first.training}
        self.trainer = Trainer(net, self.diffusion, self.schedule, definition.config, world, definition.noise)

    def run(self, resume: bool, progress: Progress) -> Checkpoint | None:
        """Train to the end, or continue from the run folder's last checkpoint.

        Returns:
            The finished model, in the main process; None in the others.

        Raises:
            ConfigError: the folder holds another run, or none to resume; the training diverged.
            VolumeError: pixels that cannot be read, or are not finite.
            ModelError: a checkpoint cannot be read or written; the one before it stays.
        """
        description = asdict(self.definition), self.split.as_dict()
        if resume:
            check_same_run(self.folder, *description)
            last = Checkpoint.load(self.folder / LAST)
            assert last.state is not None, "the run folder's own checkpoint has a state"
            self.trainer.restore(last.state, last.ema)
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
            self._train(run, progress)
            return self._finished(run)

    def _steps(self) -> Iterator[Step]:
        held = in_memory(self.split.training, self.housekeeping.memory)
        last = self.folder / LAST
        try:
            yield from self.trainer.steps(held, self.definition.augmentation, self.housekeeping.workers)
        except ConfigError as error:
            kept = f"{last} is from before that" if last.exists() else "no checkpoint was due before that"
            raise ConfigError(f"{error}; {kept}") from error
        except VolumeError as error:
            # A worker's error arrives with its traceback; the message stands at the end.
            raise VolumeError(str(error).rpartition("VolumeError: ")[2].strip()) from error

    def _train(self, run: RunFolder, progress: Progress) -> None:
        """The loop, with its log and checkpoints."""
        validation = self._validation(self.split.validation)
        losses: list[float] = []
        since = time.monotonic()
        for step in self._steps():
            losses.append(step.loss)
            saving = step.is_last or step.iteration % self.housekeeping.save_every == 0
            if not saving and step.iteration % self.housekeeping.report_every:
                continue
            speed = len(losses) * self.definition.config.batch / (time.monotonic() - since)
            values = {
                "loss": float(np.mean(losses)),
                "learning_rate": step.learning_rate,
                "crops_per_second": round(speed, 2),
            }
            progress(step, values)
            if saving:
                self._save(run, step.iteration, values, validation)
            else:
                run.log(step.iteration, values)
            losses, since = [], time.monotonic()

    def _save(self, run: RunFolder, iteration: int, values: Row, validation: Validation | None) -> None:
        """A row of the log with validation, and the checkpoint."""
        if validation is None:
            run.log(iteration, values)
        else:
            net = self._averaged()
            levels = {f"psnr_{sigma}": value for sigma, value in validation.psnr(net).items()}
            run.log(
                iteration,
                values | {"validation_loss": validation.loss(net)} | levels,
                validation.panel(net),
            )
        self._checkpoint(self._record(run), self.trainer.state()).save(run.last)

    def _validation(self, volumes: Sequence[CleanVolume]) -> Validation | None:
        if not volumes:
            return None
        crops = validation_crops(volumes, self.definition.config.crop, CROPS)
        return Validation(self.diffusion, self.schedule, crops, self.definition.noise)

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
            "config": asdict(self.definition.config),
            "before": self.before,
            "noise": None if self.definition.noise is None else asdict(self.definition.noise),
            "augmentation": asdict(self.definition.augmentation),
            "iterations": self.trainer.iteration,
            "minutes": round(self.trainer.seconds / 60, 1),
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


def checkpoint_to_start_from(definition: Definition, start: Start) -> Checkpoint:
    """The checkpoint whose weights a training begins with.

    Raises:
        ConfigError: it is one of another network, schedule or objective.
    """
    found = Checkpoint.load(Path(start.path))
    for name in ("unet", "schedule", "objective"):
        if getattr(found, name) != getattr(definition, name):
            raise ConfigError(f"--init {start.path}: its {name} is another than this training's")
    return found
