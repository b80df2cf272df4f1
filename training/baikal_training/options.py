"""Options of a training that were left open: the model that it starts from decides them, or a default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_training.checkpoint import Checkpoint
from baikal_training.losses import Objective
from baikal_training.start import Start, first_model
from baikal_training.unet_config import UNetConfig, unet_config

UNET, SCHEDULE, PREDICTION, VARIANCE = "light", "linear", "velocity", "fixed_small"
"""What a training from nothing takes."""


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
