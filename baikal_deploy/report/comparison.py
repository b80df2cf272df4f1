"""What several models make of one crop of an image, as figures and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.denoising.suiting import Suited, best_suited
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER, make_sampler
from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import DEFAULT_MODEL
from baikal_deploy.pixels.arrays import Raw, Values
from baikal_deploy.pixels.figures import figures
from baikal_deploy.report.grey import brightest, contrast, diverging, grey
from baikal_deploy.report.panels import Panel, row_of, save_rows
from baikal_deploy.run.recipes import plane_of, sample
from baikal_deploy.volumes.base import Volume

SIDE = 384
"""Side of the crop, in pixels."""
SUFFIX = ".png"


@dataclass(frozen=True)
class Removed:
    """What a model makes of a crop.

    Attributes:
        result: (H, W), in raw units.
        noise: what it removed, (H, W).
        neighbours: correlation of what it removed between direct neighbours; white noise has none.
        structure: correlation of what it removed with its result; noise has hardly any.
    """

    result: Values
    noise: Values
    neighbours: float
    structure: float

    @classmethod
    def of(cls, crop: Raw, result: Raw) -> Self:
        """What was removed of a crop.

        Args:
            crop: (H, W), in raw units.
            result: of the same shape.
        """
        noise = np.nan_to_num(crop.astype(np.float64) - result, posinf=0, neginf=0)
        pairs = [(noise[:, 1:], noise[:, :-1]), (noise[1:], noise[:-1])]
        along = [correlation(first, second) for first, second in pairs]
        return cls(result, noise, sum(along) / 2, correlation(noise, np.nan_to_num(result)))


@dataclass(frozen=True)
class Comparison:
    """Several models on one crop.

    Attributes:
        name: of the channel.
        part: of the image that the crop is, in words.
        crop: (H, W), in raw units.
        models: what each makes of it, by name.
        suited: which of them suits the channel best.
    """

    name: str
    part: str
    crop: Raw
    models: Mapping[str, Removed]
    suited: Suited

    @classmethod
    def of(cls, volume: Volume, channel: int, denoisers: Mapping[str, Denoiser]) -> Self:
        """Denoise a crop of the middle plane of a channel, where it is brightest, with each model.

        Args:
            volume: the image.
            channel: its number.
            denoisers: the models, by name.

        Raises:
            VolumeError: pixels that cannot be read.
            ConfigError: the channel holds a single value.
            EngineError: a network failed.
        """
        info, group = volume.info, (None, channel)
        windows = sample(volume, group)
        plane = plane_of(info, group, info.num_planes // info.num_channels // 2)
        whole = volume.read([plane])[0]
        y, x = brightest(whole, SIDE)
        crop = whole[y : y + SIDE, x : x + SIDE]
        part = f"{info.describe(plane)}, {' x '.join(map(str, crop.shape))} pixels at ({y}, {x})"
        models = {name: _removed(denoiser, windows, crop) for name, denoiser in denoisers.items()}
        default = DEFAULT_MODEL if DEFAULT_MODEL in denoisers else next(iter(denoisers))
        suited = best_suited(windows, denoisers, default)
        return cls(info.channel_name(channel), part, crop, models, suited)

    def save(self, path: Path) -> None:
        """Write a PNG: the crop and each result in one grey scale, and below what each removed.

        Args:
            path: of the file.

        Raises:
            VolumeError: it cannot be written.
        """
        shown = contrast(*(one.result for one in self.models.values()), self.crop)
        limit = float(max(np.percentile(np.abs(one.noise), 99.8) for one in self.models.values())) or 1.0
        grey_scale, colours = f"{figures(shown[0])} to {figures(shown[1])}", figures(limit, 3)
        results = [Panel(grey(self.crop, shown), self.name, grey_scale)]
        nothing = np.full((*self.crop.shape, 3), 255, np.uint8)
        removed = [Panel(nothing, "removed:", f"blue -{colours}, red +{colours}")]
        for name, one in self.models.items():
            best = ", suits it best" if name == self.suited.name else ""
            results.append(Panel(grey(one.result, shown), f"{name}{best}", grey_scale))
            note = f"neighbours {one.neighbours:+.3f}, with the result {one.structure:+.3f}"
            removed.append(Panel(diverging(one.noise, limit), f"removed by {name}", note))
        save_rows(path, [row_of(results), row_of(removed)], "the picture cannot be written")


def check_picture(path: Path) -> None:
    """Raise ConfigError for a name that is not that of a PNG.

    Args:
        path: of a picture that is to be written.
    """
    if path.suffix.lower() != SUFFIX:
        raise ConfigError(f"{path}: must end in {SUFFIX}")


def correlation(first: Values, second: Values) -> float:
    """Correlation of two arrays of one shape; 0 where one holds a single value.

    Args:
        first, second: any values.
    """
    first, second = first - first.mean(), second - second.mean()
    size = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / size if size else 0.0


def _removed(denoiser: Denoiser, windows: Sequence[Raw], crop: Raw) -> Removed:
    sampler = make_sampler(DEFAULT_SAMPLER, {}, denoiser.recommended(DEFAULT_SAMPLER))
    recipe = denoiser.recipe(sampler, denoiser.measure(windows, sampler), seed=0)
    wanted = Wanted(np.dtype(np.float32))
    return Removed.of(crop, denoiser.run(recipe, Stack(crop[None], [0]), wanted=wanted).planes[0])
