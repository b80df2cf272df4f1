"""The check that what is stated suffices, and that the weights say the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_export.foreign.guided_diffusion.settings import Settings
from baikal_export.foreign.guided_diffusion.structure import Structure

TIMESCALE = 1000
"""Scale of timesteps that rescale_timesteps makes: the network is told t·TIMESCALE/T."""
_SUPPORTED = {
    "predict_xstart": False,
    "class_cond": False,
    "conv_resample": True,
    "dims": 2,
}
_AT_LEAST = {"norm_groups": 1, "diffusion_steps": 2}


def unstated(settings: Settings, structure: Structure) -> list[str]:
    """Names of what has to be stated and is not, with what each decides."""
    needed = _needed(settings, structure)
    return [f"{name} ({why})" for name, why in needed if getattr(settings, name) is None]


def _needed(settings: Settings, structure: Structure) -> Iterator[tuple[str, str]]:
    yield "norm_groups", "32 in the original code"
    yield "diffusion_steps", "T"
    yield "noise_schedule", "linear or cosine"
    yield "predict_xstart", "false: it predicts the noise"
    if structure.out_channels == 1:
        yield "sigma_small", "true: the fixed variance is the smaller one"
    if settings.diffusion_steps not in (None, TIMESCALE):
        yield "rescale_timesteps", f"true: it is told t·{TIMESCALE}/T"
    if structure.attended and not settings.head_channels:
        yield "num_heads", "or num_head_channels: of its self-attention"
    if any(_heads(settings, width) != 1 for width in structure.attended):
        yield "use_new_attention_order", "false in improved-diffusion and DifFace"


def _heads(settings: Settings, width: int) -> int | None:
    return width // settings.head_channels if settings.head_channels else settings.num_heads


def check_agreement(settings: Settings, structure: Structure) -> None:
    """Check that the settings agree with the weights.

    Raises:
        ConfigError: a setting contradicts the weights, or is not supported; without the file's name.
    """
    for name, supported in _SUPPORTED.items():
        if getattr(settings, name) not in (None, supported):
            raise ConfigError(f"{name} is {getattr(settings, name)}; supported is only {supported}")
    for name, least in _AT_LEAST.items():
        if (value := getattr(settings, name)) is not None and value < least:
            raise ConfigError(f"{name} is {value}; it must be at least {least}")
    for name in ("num_heads", "num_head_channels"):
        if (value := getattr(settings, name)) not in (None, -1) and value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1, or -1 for what is not given")
    upsample = settings.num_heads_upsample
    if structure.attended and not settings.head_channels and upsample not in (None, -1, settings.num_heads):
        raise ConfigError(f"num_heads_upsample is {upsample}; it must be num_heads, {settings.num_heads}")
    for name, stated, found in _comparisons(settings, structure):
        if getattr(settings, name) is not None and stated != found:
            value = _plain(getattr(settings, name))
            raise ConfigError(f"{name} is {value}{_contradiction(name, stated, found)}")


def _contradiction(name: str, stated: Any, found: Any) -> str:
    if name == "attention_resolutions":
        return (
            f": attention at levels {_plain(stated)}, where 0 is the finest; the weights have it at levels "
            f"{_plain(found)}. Is attention_resolutions_are right?"
        )
    meaning = f", that is widths {_plain(stated)}" if name == "channel_mult" else ""
    return f"{meaning}; the weights say {_plain(found)}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _comparisons(settings: Settings, structure: Structure) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, what is stated, what the weights tell), in the same terms."""
    levels = len(structure.channels)
    yield "in_channels", settings.in_channels, structure.in_channels
    yield "out_channels", settings.out_channels, structure.out_channels
    yield "learn_sigma", settings.learn_sigma, structure.out_channels == 2
    yield "use_scale_shift_norm", settings.use_scale_shift_norm, True
    yield "num_channels", settings.num_channels, structure.sinusoids
    widths = tuple(int(factor * structure.sinusoids) for factor in settings.channel_mult or ())
    yield "channel_mult", widths, structure.channels
    blocks = settings.num_res_blocks
    yield "num_res_blocks", (blocks,) * levels if isinstance(blocks, int) else blocks, structure.blocks
    yield "attention_resolutions", _attended(settings, levels), structure.attention
    if levels > 1:
        yield "resblock_updown", settings.resblock_updown, structure.resample == "block"


def _attended(settings: Settings, levels: int) -> tuple[int, ...]:
    """Levels that attention_resolutions stand for; those that no level has are without effect there too."""
    stated = settings.attention_resolutions
    if not stated:
        return ()
    if settings.attention_resolutions_are is None:
        raise ConfigError(
            f"attention_resolutions is {list(stated)}, and attention_resolutions_are is missing: "
            '"pixels" of a feature map of an image of image_size, or downsampling "factors"'
        )
    if settings.attention_resolutions_are == "factors":
        return tuple(level for level in range(levels) if 1 << level in stated)
    if settings.image_size is None:
        raise ConfigError(f"attention_resolutions is {list(stated)} in pixels, and image_size is missing")
    return tuple(level for level in range(levels) if settings.image_size >> level in stated)
