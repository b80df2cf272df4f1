"""State dicts of the UNetModel of improved-diffusion, guided-diffusion and what was made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from baikal_deploy.diffusion.schedule import ScheduleSpec, Variance
from baikal_deploy.errors import BaikalError, ConfigError, ModelError
from baikal_export.foreign.base import Layout, provenance
from baikal_export.foreign.guided_diffusion.agreement import TIMESCALE, check_agreement, unstated
from baikal_export.foreign.guided_diffusion.convert import convert
from baikal_export.foreign.guided_diffusion.settings import Settings, settings_of
from baikal_export.foreign.guided_diffusion.structure import Structure, structure_of
from baikal_export.foreign.guided_diffusion.tensors import StateDict, load_state_dict
from baikal_export.trained import TrainedModel
from baikal_training.unet_config import UNetConfig


class GuidedDiffusion(Layout):
    """A .pt or .pth file with the weights alone; their shapes tell most, ``config`` the rest."""

    def recognises(self, path: Path) -> bool:
        try:
            load_state_dict(path)
        except BaikalError:
            return False
        return True

    def read(self, path: Path, config: Path | None) -> TrainedModel:
        found = load_state_dict(path)
        structure = _structure(path, found)
        settings = settings_of(config)
        unet = _agreed(path, config, settings, structure)
        try:
            net: nn.Module = convert(structure, found.tensors, unet, bool(settings.use_new_attention_order))
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        steps = settings.diffusion_steps
        assert steps is not None
        assert settings.noise_schedule is not None
        if settings.rescale_timesteps and steps != TIMESCALE:
            net = Rescaled(net, TIMESCALE / steps).eval()
        return TrainedModel(
            net,
            "eps",
            ScheduleSpec(settings.noise_schedule, steps),
            _variance(settings, structure),
            settings.normalisation,
            unet.downsampling,
            provenance("guided-diffusion", path, _stated(found, settings)),
        )


class Rescaled(nn.Module):
    """A network that is told other timesteps (rescale_timesteps)."""

    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net = net
        self.factor = factor

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        output: Tensor = self.net(x, t * self.factor)
        return output


def _structure(path: Path, found: StateDict) -> Structure:
    try:
        structure = structure_of(found.tensors)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if structure.in_channels != 1:
        raise ModelError(f"{path}: the network takes {structure.in_channels} channels; supported is only 1")
    if structure.out_channels not in (1, 2):
        raise ModelError(
            f"{path}: the network gives {structure.out_channels} channels; supported are 1 and 2"
        )
    return structure


def _agreed(path: Path, config: Path | None, settings: Settings, structure: Structure) -> UNetConfig:
    """The network's shape, once the settings are complete and say what the weights say."""
    if missing := unstated(settings, structure):
        where = "state it with --config" if config is None else f"it is not in {config}"
        raise ConfigError(f"{path}: the weights do not tell {'; '.join(missing)}: {where}")
    try:
        check_agreement(settings, structure)
        return UNetConfig(
            channels=structure.channels,
            blocks=structure.blocks,
            skips="block",
            attention=structure.attention,
            middle=structure.middle,
            head_channels=settings.head_channels,
            heads=0 if settings.head_channels else settings.num_heads or 0,
            norm_groups=settings.norm_groups or 0,
            resample=structure.resample,
            unshuffle=1,
            sinusoids=structure.sinusoids,
            embedding=structure.embedding,
            out_channels=structure.out_channels,
        )
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}") from error


def _variance(settings: Settings, structure: Structure) -> Variance:
    if structure.out_channels == 2:
        return "learned_range"
    return "fixed_small" if settings.sigma_small else "fixed_large"


def _stated(found: StateDict, settings: Settings) -> dict[str, Any]:
    values = {name: value for name, value in vars(settings).items() if value is not None}
    del values["normalisation"]  # has a place of its own in the manifest
    return values | ({"entry": found.entry} if found.entry else {})
