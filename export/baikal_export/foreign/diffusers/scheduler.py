"""The schedule and the objective in a scheduler's config of diffusers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from baikal_deploy.diffusion.schedule import Kind, ScheduleSpec, Variance
from baikal_deploy.errors import ConfigError, ModelError
from baikal_training.losses import Prediction

SCHEDULER = "DDPMScheduler"
PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "velocity"}
VARIANCES: dict[str, Variance] = {
    "fixed_small": "fixed_small",
    "fixed_small_log": "fixed_small",
    "fixed_large": "fixed_large",
    "fixed_large_log": "fixed_large",
    "learned_range": "learned_range",
}
"""Our name of each kind of variance; the "log" kinds differ in how the same variance is computed."""
_SCHEDULES: dict[str, Kind] = {"linear": "linear", "squaredcos_cap_v2": "cosine"}
_STATED = ("num_train_timesteps", "beta_schedule", "prediction_type", "variance_type")
_STATED_IF_LINEAR = ("beta_start", "beta_end")


def unstated(stated: Mapping[str, Any]) -> list[str]:
    """Names of what has to be stated of a model that comes without a scheduler, and is not."""
    linear = stated.get("beta_schedule") == "linear"
    return [name for name in _STATED + _STATED_IF_LINEAR * linear if name not in stated]


def choice(config: Mapping[str, Any], field: str, supported: Mapping[str, Any]) -> Any:
    """Our counterpart of a field's value.

    Raises:
        ModelError: there is none.
    """
    value = config[field]
    if not isinstance(value, str) or value not in supported:
        raise unsupported(field, value, ", ".join(supported))
    return supported[value]


def unsupported(field: str, value: Any, supported: object) -> ModelError:
    return ModelError(f"{field} is {value!r}, which is not supported; supported is {supported}")


def schedule_of(config: Mapping[str, Any]) -> ScheduleSpec:
    """The schedule of a DDPMScheduler's complete config.

    Raises:
        ModelError: one that cannot be represented.
    """
    if config["trained_betas"] is not None:
        raise unsupported("trained_betas", "a list", f"beta_schedule {' or '.join(_SCHEDULES)}")
    if config["rescale_betas_zero_snr"]:
        raise unsupported("rescale_betas_zero_snr", True, False)
    kind: Kind = choice(config, "beta_schedule", _SCHEDULES)
    count, start, end = config["num_train_timesteps"], config["beta_start"], config["beta_end"]
    try:
        spec = _linear(start, end, count) if kind == "linear" else ScheduleSpec(kind, count)
        spec.build()  # refuses what is not a β
    except (ConfigError, TypeError, ValueError) as error:
        raise ModelError(
            f"num_train_timesteps {count!r}, beta_start {start!r}, beta_end {end!r}: "
            f"no noise schedule ({error})"
        ) from error
    return spec


def _linear(start: float, end: float, count: int) -> ScheduleSpec:
    if math.isclose(start * count, 0.1) and math.isclose(end * count, 20):
        return ScheduleSpec("linear", count)
    betas = np.linspace(start, end, count, dtype=np.float64)
    return ScheduleSpec("explicit", count, tuple(betas.tolist()))
