"""Options of a training that were left open: the model that it starts from decides them, or a default."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_training.checkpoint import Checkpoint
from baikal_training.config import DEFAULT_ITERATIONS, TrainingConfig
from baikal_training.data import AUGMENTATIONS
from baikal_training.distributed import has_fast_bf16
from baikal_training.losses import Objective, Prediction
from baikal_training.session import Definition
from baikal_training.start import Start, first_model
from baikal_training.unet_config import UNetConfig, unet_config

UNET = "light"
SCHEDULE: Literal["linear"] = "linear"
PREDICTION: Prediction = "velocity"
VARIANCE: Variance = "fixed_small"
"""What a training from nothing takes, as UNET, SCHEDULE and PREDICTION."""


@dataclass(frozen=True)
class Kind:
    """The kind of a model: what has to be the same in the one that a training starts from."""

    unet: UNetConfig
    schedule: ScheduleSpec
    objective: Objective
    normalisation: Normalisation


def kind_of(start: Start | None, unet: str | None, schedule: Any, prediction: Any, variance: Any) -> Kind:
    """The kind of model to train, from the options of the command; None where one was not given.

    Raises:
        ConfigError: an option asks for another kind than that of the model to start from.
        ModelError: that cannot be read.
    """
    if start is None:
        objective = Objective(prediction or PREDICTION, variance or VARIANCE)
        network = unet_config(unet or UNET, objective.out_channels)
        return Kind(network, ScheduleSpec(schedule or SCHEDULE), objective, Normalisation())
    first = first_model(start)
    _check_given(start, first, unet, schedule, prediction, variance)
    return Kind(first.unet, first.schedule, first.objective, first.normalisation)


def _check_given(
    start: Start, first: Checkpoint, unet: str | None, schedule: Any, prediction: Any, variance: Any
) -> None:
    objective = first.objective
    refused = {
        "--unet": unet is not None and unet_config(unet, objective.out_channels) != first.unet,
        "--schedule": schedule is not None and ScheduleSpec(schedule) != first.schedule,
        "--prediction": prediction is not None and prediction != objective.prediction,
        "--variance": variance is not None and variance != objective.variance,
    }
    given = {"--unet": unet, "--schedule": schedule, "--prediction": prediction, "--variance": variance}
    for option, is_other in refused.items():
        if is_other:
            raise ConfigError(
                f"{option} {given[option]}: the model of --init {start.path} has another; leave {option} "
                "out: the training takes what the model has"
            )


@dataclass(frozen=True)
class Manner:
    """How a network is trained, where the command leaves it open."""

    batch: int
    learning_rate: float
    warm_up: int
    augmentation: str

    def summary(self) -> str:
        """One line for people, as options of the command."""
        return (
            f"--batch {self.batch} --learning-rate {self.learning_rate:g} --warm-up {self.warm_up} "
            f"--augmentation {self.augmentation}"
        )


FROM_NOTHING = Manner(
    TrainingConfig.batch, TrainingConfig.learning_rate, TrainingConfig.warm_up, augmentation="wide"
)
TO_FEW_IMAGES = Manner(batch=8, learning_rate=1e-4, warm_up=20, augmentation="narrow")
"""For a model that has learnt, and few images of one kind: small steps, on images as they are."""
MOST_FEW = 100
"""Most volumes that count as few here."""


def definition(
    options: dict[str, Any], kind: Kind, start: Start | None, manner: Manner, device: torch.device
) -> Definition:
    """The definition of a training.

    Args:
        options: those of ``TrainingConfig`` and ``augmentation``, by name; None where one was not given.
        kind: of model.
        start: the model that it starts from.
        manner: what is taken where an option was not given.
        device: that it computes on.

    Raises:
        ConfigError: an option that cannot be used.
    """
    options = {**options}
    for name, value in asdict(manner).items():
        if options[name] is None:
            options[name] = value
    if options["iterations"] is None and options["minutes"] is None:
        options["iterations"] = DEFAULT_ITERATIONS
    if options["bf16"] is None:
        options["bf16"] = has_fast_bf16(device)
    augmentation = AUGMENTATIONS[options.pop("augmentation")]
    config = TrainingConfig(**options)
    return Definition(
        kind.unet, kind.schedule, kind.objective, kind.normalisation, config, augmentation, start
    )
