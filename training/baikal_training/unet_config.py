"""Shapes of the UNet: what can be chosen, the presets, and reading one from a file."""

from __future__ import annotations

import os
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from baikal_deploy.errors import ConfigError

Skips = Literal["level", "block"]
Resample = Literal["conv", "block"]


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a UNet; travels in the checkpoint.

    Attributes:
        channels: width of each level, finest first; each level halves the resolution.
        blocks: residual blocks of each level of the encoder. The decoder has as many, and one
            more with ``skips="block"``.
        skips: what the decoder is shown of the encoder: the end of each "level", or every "block",
            the stem and the downsamplings too, as in guided-diffusion (Dhariwal & Nichol 2021).
        attention: levels (0 is the finest) whose blocks are each followed by self-attention.
        middle: one entry per residual block below the coarsest level: does self-attention follow?
        head_channels: width of an attention head, where ``heads`` is 0.
        heads: number of attention heads at every level, as in improved-diffusion (Nichol &
            Dhariwal 2021); 0 for as many as are ``head_channels`` wide.
        norm_groups: groups of the GroupNorm before each convolution; 0 for no norms. It leaves no
            trace in the shapes of the weights: the wrong count is silent.
        resample: between levels, a "conv" or a residual "block" (only with ``skips="block"``).
        unshuffle: factor of the pixel-unshuffle stem. With 2, no convolution runs at full
            resolution, which at equal width saves most of the work.
        sinusoids, embedding: widths of the sinusoids of a timestep and of what is made of them.
        out_channels: 1 (the prediction), or 2 with learned-range variance (prediction, v).
    """

    channels: tuple[int, ...] = (48, 64, 96, 112)
    blocks: tuple[int, ...] = (2, 2, 2, 1)
    skips: Skips = "level"
    attention: tuple[int, ...] = ()
    middle: tuple[bool, ...] = (False,)
    head_channels: int = 64
    heads: int = 0
    norm_groups: int = 0
    resample: Resample = "conv"
    unshuffle: int = 2
    sinusoids: int = 128
    embedding: int = 128
    out_channels: int = 1

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.blocks) or not self.channels:
            raise ConfigError(
                f"unet: channels {self.channels} and blocks {self.blocks} need one entry per level"
            )
        for name, wrong, needed in self._problems():
            if wrong:
                raise ConfigError(f"unet: {name} is {getattr(self, name)}; {needed}")
        self._check_attention()

    def _problems(self) -> list[tuple[str, bool, str]]:
        """List (field, whether it is wrong, what it must be)."""
        groups = max(1, self.norm_groups)
        divided = self.norm_groups >= 0 and not any(width % groups for width in self.channels)
        return [
            ("channels", min(self.channels) < 1, "each must be at least 1"),
            ("blocks", min(self.blocks) < 1, "each must be at least 1"),
            ("skips", self.skips not in get_args(Skips), "it must be level or block"),
            ("resample", self.resample not in get_args(Resample), "it must be conv or block"),
            ("resample", self.resample == "block" and self.skips == "level", 'it needs skips = "block"'),
            ("norm_groups", not divided, f"it must divide every width in {self.channels}, or be 0"),
            ("unshuffle", self.unshuffle < 1, "it must be at least 1"),
            ("sinusoids", self.sinusoids < 2 or self.sinusoids % 2 == 1, "it must be even"),
            ("embedding", self.embedding < 1, "it must be at least 1"),
            ("out_channels", self.out_channels not in (1, 2), "it must be 1 or 2"),
        ]

    def _check_attention(self) -> None:
        if self.attention and not 0 <= min(self.attention) <= max(self.attention) < len(self.channels):
            raise ConfigError(
                f"unet: attention is {self.attention}; levels are 0 to {len(self.channels) - 1}"
            )
        attended = {*self.attention, *([len(self.channels) - 1] if any(self.middle) else [])}
        name = "heads" if self.heads else "head_channels"
        divisor = getattr(self, name)
        for level in sorted(attended):
            if divisor < 1 or self.channels[level] % divisor:
                raise ConfigError(
                    f"unet: {name} is {divisor}; it must divide {self.channels[level]}, "
                    f"the width of level {level}, which has attention"
                )

    def heads_of(self, width: int) -> int:
        """Number of attention heads where feature maps have ``width`` channels."""
        return self.heads or width // self.head_channels

    @property
    def downsampling(self) -> int:
        """Heights and widths must be multiples of this, in pixels."""
        return self.unshuffle << (len(self.channels) - 1)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> UNetConfig:
        """The configuration in a record, as ``as_dict`` makes it.

        Raises:
            ConfigError: names and types that no configuration has.
        """
        known = {field.name: field.default for field in fields(cls)}
        for name, value in data.items():
            if name not in known:
                raise ConfigError(f"unet: there is no '{name}'; there are {', '.join(known)}")
            if not _alike(value, known[name]):
                raise ConfigError(f"unet: {name} is {value!r}; needed is something like {known[name]!r}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)


def _alike(value: Any, example: Any) -> bool:
    if isinstance(example, tuple):
        kind = bool if example and isinstance(example[0], bool) else int
        return isinstance(value, list | tuple) and all(type(item) is kind for item in value)
    return type(value) is type(example)


PRESETS = {
    "light": UNetConfig(),
    "paper": UNetConfig(
        channels=(32, 64, 128, 256, 256, 512, 512),
        blocks=(1, 2, 2, 2, 2, 3, 4),
        skips="block",
        attention=(1, 2, 3),
        middle=(True, False),
        norm_groups=32,
        unshuffle=1,
        sinusoids=32,
        embedding=128,
    ),
    "paper-light": UNetConfig(
        channels=(16, 32, 64, 128),
        blocks=(1, 2, 2, 2),
        skips="block",
        middle=(False, False),
        norm_groups=16,
        unshuffle=1,
        sinusoids=16,
        embedding=64,
    ),
}
"""light: made for CPUs. paper: the authors' seven levels, with attention where feature maps of a
64-pixel crop are 32, 16 and 8 wide. paper-light: their light variant, 16 channels, no attention."""


def unet_config(name: str, out_channels: int) -> UNetConfig:
    """A preset, or the TOML file of that name with the fields of UNetConfig.

    Raises:
        ConfigError: neither a preset nor a file, not TOML, or fields that nothing knows.
    """
    if name in PRESETS:
        return replace(PRESETS[name], out_channels=out_channels)
    path = Path(name)
    if not os.path.isfile(path):  # unlike Path.is_file, false for a name that is too long
        raise ConfigError(f"unet '{name}': no such file; the presets are {', '.join(PRESETS)}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML ({error})") from error
    if "out_channels" in table:
        raise ConfigError(f"{path}: out_channels follows from --variance; leave it out")
    try:
        return UNetConfig.from_dict(table | {"out_channels": out_channels})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
