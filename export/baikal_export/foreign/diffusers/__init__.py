"""Folders of the diffusers library: a pipeline with a UNet2DModel, or a UNet2DModel alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from baikal_deploy.diffusion.schedule import Variance
from baikal_deploy.errors import BaikalError, ConfigError, ModelError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_export.foreign.base import Layout, provenance, read_settings, read_table
from baikal_export.foreign.diffusers.folder import UNET, Folder, complete, load_unet, read_json
from baikal_export.foreign.diffusers.scheduler import (
    PREDICTIONS,
    SCHEDULER,
    VARIANCES,
    choice,
    schedule_of,
    unstated,
    unsupported,
)
from baikal_export.trained import TrainedModel

_BLOCKS = {
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
}
_FIELDS: dict[str, tuple[Any, ...]] = {
    "in_channels": (1,),
    "out_channels": (1, 2),
    "time_embedding_type": ("positional",),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
}
"""Values that other fields of a UNet2DModel may have."""


@dataclass(frozen=True)
class Settings:
    """Settings that may be stated with --config.

    Attributes:
        scheduler: fields of a DDPMScheduler's config, for a UNet2DModel without one.
        normalisation: percentiles of a clean image that map to −1 and 1.
    """

    scheduler: dict[str, Any] | None = None
    normalisation: Normalisation = field(default_factory=Normalisation)

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


class Diffusers(Layout):
    """A folder as the diffusers library saves it; the library also loads it."""

    def recognises(self, path: Path) -> bool:
        try:
            return Folder.find(path) is not None
        except BaikalError:
            return False

    def read(self, path: Path, config: Path | None) -> TrainedModel:
        folder = _folder(path)
        settings = read_settings(Settings, read_table(config, ("scheduler", "normalisation")), config)
        scheduler = _scheduler(path, folder, settings, config)
        try:
            variance = _variance(scheduler, _checked_unet(folder))
            prediction, schedule = choice(scheduler, "prediction_type", PREDICTIONS), schedule_of(scheduler)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
        weights = folder.weights()
        net = load_unet(folder.unet)
        stated = {} if settings.scheduler is None else {"scheduler": settings.scheduler}
        return TrainedModel(
            Plain(net).eval(),
            prediction,
            schedule,
            variance,
            settings.normalisation,
            _downsampling(net),
            provenance("diffusers", weights, stated),
        )


class Plain(nn.Module):
    """A network from tensors to a tensor, without the library's containers."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        output: Tensor = self.net(x, t, return_dict=False)[0]
        return output


def _folder(path: Path) -> Folder:
    if not path.is_dir():
        raise ModelError(
            f"{path}: not a folder, as which diffusers keeps a model; a checkpoint of baikal-train is "
            "exported without --from"
        )
    folder = Folder.find(path)
    if folder is None:
        names = sorted(entry.name for entry in path.iterdir())
        raise ModelError(
            f"{path}: not of this layout: found are {len(names)} files and folders ({', '.join(names[:4])}); "
            f"expected is the config.json of a {UNET}, here or in unet, and scheduler/scheduler_config.json"
        )
    return folder


def _scheduler(path: Path, folder: Folder, settings: Settings, config: Path | None) -> dict[str, Any]:
    """The scheduler's config, out of the folder or as it is stated."""
    stated = settings.scheduler
    if folder.scheduler is None:
        if missing := unstated(stated or {}):
            raise ConfigError(
                f"{path}: a {UNET} without a scheduler: state {', '.join(missing)} in a table [scheduler] of "
                f"{config or 'a file given with --config'}"
            )
        return _completed(path if config is None else config, stated or {})
    if stated is not None:
        raise ConfigError(
            f"{config}: [scheduler] goes with a model without one; {path} has {folder.scheduler}"
        )
    found = read_json(folder.scheduler)
    if found.get("_class_name") != SCHEDULER:
        raise ModelError(
            f"{folder.scheduler}: {unsupported('_class_name', found.get('_class_name'), SCHEDULER)}"
        )
    return _completed(folder.scheduler, found)


def _completed(source: Path, stated: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return complete(SCHEDULER, stated)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error


def _checked_unet(folder: Folder) -> dict[str, Any]:
    """The UNet's config, if it is one that can be represented."""
    config = complete(UNET, read_json(folder.unet / "config.json"))
    for name, supported in _FIELDS.items():
        if config[name] not in supported:
            raise unsupported(name, config[name], " or ".join(str(value) for value in supported))
    for name, known in _BLOCKS.items():
        kinds = config[name]
        for kind in kinds if isinstance(kinds, list | tuple) else [kinds]:
            if kind not in known:
                raise unsupported(name, kind, ", ".join(known))
    return config


def _variance(scheduler: Mapping[str, Any], unet: Mapping[str, Any]) -> Variance:
    variance: Variance = choice(scheduler, "variance_type", VARIANCES)
    if (variance == "learned_range") != (unet["out_channels"] == 2):
        raise ModelError(
            f"variance_type is {scheduler['variance_type']!r} and out_channels is {unet['out_channels']}; "
            "learned_range goes with 2 output channels, and only with it"
        )
    return variance


def _downsampling(net: nn.Module) -> int:
    """Downsampling of a UNet: every block of the encoder that has a downsampler halves the resolution."""
    blocks = net.get_submodule("down_blocks").children()
    return 1 << sum(getattr(block, "downsamplers", None) is not None for block in blocks)
