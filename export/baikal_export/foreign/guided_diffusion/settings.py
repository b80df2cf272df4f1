"""Settings that the weights do not tell, as the original projects' arguments."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_export.foreign.base import read_settings, read_table

ALIASES = {"model_channels": "num_channels", "steps": "diffusion_steps"}
"""Names of UNetModel's own argument, and that of the authors' configuration files -> that of the scripts."""
NO_TRACE = ("dropout", "timestep_respacing", "use_checkpoint", "use_fp16", "use_kl", "rescale_learned_sigmas")
"""Arguments that change neither the network nor its schedule once it is trained."""


def _split(value: Any) -> Any:
    """Split a list that is given as text, such as "1,2,4", as the scripts do.

    An empty one means the default, so that nothing is stated.
    """
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    try:
        return tuple(float(part) if "." in part else int(part) for part in value.split(",") if value)
    except ValueError:
        return value


Numbers = Annotated[tuple[int, ...], BeforeValidator(_split)]
Factors = Annotated[tuple[float, ...], BeforeValidator(_split)]


@dataclass(frozen=True)
class Settings:
    """Settings that somebody states; None: not stated.

    They are arguments of the original projects, but for these:

    Attributes:
        norm_groups: groups of each GroupNorm; a constant in the original code (32), not an argument.
        attention_resolutions_are: what attention_resolutions counts. "pixels": widths of the
            feature maps of an image of image_size (the authors' code; the scripts of
            guided-diffusion). "factors": downsampling (UNetModel of guided-diffusion).
        normalisation: percentiles of a clean image that map to −1 and 1.
    """

    norm_groups: int | None = None
    diffusion_steps: int | None = None
    noise_schedule: Literal["linear", "cosine"] | None = None
    predict_xstart: bool | None = None
    sigma_small: bool | None = None
    rescale_timesteps: bool | None = None
    num_heads: int | None = None
    num_head_channels: int | None = None
    num_heads_upsample: int | None = None
    use_new_attention_order: bool | None = None
    image_size: int | None = None
    in_channels: int | None = None
    out_channels: int | None = None
    num_channels: int | None = None
    channel_mult: Factors | None = None
    num_res_blocks: int | Numbers | None = None
    attention_resolutions: Numbers | None = None
    attention_resolutions_are: Literal["pixels", "factors"] | None = None
    use_scale_shift_norm: bool | None = None
    resblock_updown: bool | None = None
    conv_resample: bool | None = None
    class_cond: bool | None = None
    learn_sigma: bool | None = None
    dims: int | None = None
    normalisation: Normalisation = field(default_factory=Normalisation)

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    @property
    def head_channels(self) -> int:
        """Width of a head, which overrides their number; 0 if that is what is stated."""
        return 0 if self.num_head_channels in (None, -1) else self.num_head_channels or 0


def settings_of(config: Path | None) -> Settings:
    """The settings in a config file; without a file, none are stated.

    Raises:
        ConfigError: the file cannot be used, or has names or values that no setting has.
    """
    known = [entry.name for entry in fields(Settings)]
    table = read_table(config, [*known, *ALIASES, *NO_TRACE])
    for alias, name in ALIASES.items():
        if alias in table:
            if name in table:
                raise ConfigError(f"{config}: {alias} and {name} are the same; state one of them")
            table[name] = table.pop(alias)
    empty = (None, "")  # JSON's null, and the scripts' default
    stated = {name: value for name, value in table.items() if name not in NO_TRACE and value not in empty}
    return read_settings(Settings, stated, config)
