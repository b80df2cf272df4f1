"""Results of an output that is finished, as a run that fuses has them before it does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from baikal_deploy.denoising.provenance import model_and_engine
from baikal_deploy.denoising.regions import planes_around
from baikal_deploy.denoising.shown import Shown
from baikal_deploy.denoising.stack import Defects
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.pixels.arrays import Planes, Raw
from baikal_deploy.pixels.counts import Tally
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.provenance import measurements_of, run_of
from baikal_deploy.run.recipes import Recipes
from baikal_deploy.run.resume.fingerprint import differences
from baikal_deploy.volumes.base import Volume, VolumeInfo
from baikal_deploy.volumes.cleanup import Mark
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.selection import BLOCK
from baikal_deploy.volumes.urls import Source, Url

SAME = ("input", "series", "selection", "sampler", "normalise", "defects")
"""Entries of the provenance in which an output must agree with the run that fuses it, beside the models."""
COPIED = {"model": "none"}
"""Stands for the model of a channel that is copied."""
ROUNDED = 1 / 12
"""Variance of what rounding to integers adds, in raw units (Bennett 1948)."""


@dataclass(frozen=True)
class Finished:
    """Results of a finished output; see ``Wanted.unfused``.

    Attributes:
        output: the image.
        provenance: of it.
        recipes: of the planes of its input.
        defects: whether those that are hot or dead kept their values.
    """

    output: Volume
    provenance: Mapping[str, Any]
    recipes: Recipes
    defects: Defects
    _constant: dict[int, bool] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Source, config: RunConfig, recipes: Recipes) -> Finished:
        """The results of an output that a run may fuse, with whose measurements it does.

        Args:
            path: of the output.
            config: the options of the run that fuses.
            recipes: of the planes of the input, which take over the measurements.

        Raises:
            ConfigError: it is no output of this program, is fused already, or was made otherwise.
            VolumeError: it cannot be read.
        """
        option = f"--from {path}"
        mark = None if isinstance(path, Url) else Mark.at(path)
        if mark is None or not mark.complete:
            raise ConfigError(f"{option}: is no finished output of baikal-run; leave --from out")
        made = mark.provenance
        wanted = run_of(config, recipes)
        own, asked = ({key: one.get(key) for key in SAME} for one in (made, wanted))
        changed = differences(own | _models_of(made), asked | _models_asked(recipes, made), "but here")
        if changed:
            raise ConfigError(
                f"{option}: was made otherwise: {changed}; give the options that it was made with"
            )
        if made.get("fuse") is not None:
            raise ConfigError(f"{option}: is fused already, along {made['fuse']}; give a result that is not")
        if made["kept_raw"] or made["zeroed"]:
            raise ConfigError(f"{option}: some planes could not be denoised; leave --from out")
        output = open_input(path)
        if output.info.shape != recipes.volume.info.shape:
            raise VolumeError(f"{path}: has the shape {output.info.shape}, and not the input's")
        recipes.add(measurements_of(made))
        return cls(output, made, recipes, config.defects)

    @property
    def info(self) -> VolumeInfo:
        """Info of the results."""
        return replace(self.output.info, dtype=np.dtype(np.float32))

    @property
    def metadata_files(self) -> Sequence[Source]:
        """Files that tell, by size and time, that the output was written again."""
        return self.output.metadata_files

    @property
    def rounded(self) -> float:
        """Variance of what the output was rounded by, in raw units."""
        return 0.0 if self.output.info.dtype.kind == "f" else ROUNDED

    @property
    def counts(self) -> Tally:
        """What its own run counted, but for what conversion did."""
        found = Tally.from_record(self.provenance["counts"])
        return replace(found, non_finite=0, lost=0, clamped=0)

    def read(self, planes: Sequence[int]) -> Planes:
        """Results of whole planes, (N, H, W); see ``Volume.read``.

        Raises:
            VolumeError: pixels of the output or the input cannot be read.
        """
        height, width = self.info.plane_shape
        return np.stack([self.read_window(plane, slice(0, height), slice(0, width)) for plane in planes])

    def read_window(self, plane: int, y: slice, x: slice) -> Planes:
        """Results in a window of a plane, (height, width); see ``Volume.read_window``.

        Raises:
            VolumeError: pixels of the output or the input cannot be read.
        """
        group = self.recipes.group(plane)
        measurement = None if group is None else self.recipes.of(group).measurement
        if measurement is None or measurement.intensity.is_constant or self._is_constant(plane):
            return np.full((y.stop - y.start, x.stop - x.start), np.nan, np.float32)
        crop = planes_around((y, x), self.info.plane_shape)
        pixels = self.recipes.volume.read_window(plane, *crop.read)[None]
        kept = Shown.of(pixels, crop, measurement).kept(defects=self.defects == "keep")
        found = measurement.intensity.normalise(self.output.read_window(plane, y, x))
        if kept is not None:
            found[crop.trimmed(kept)[0]] = np.nan
        return found

    def _is_constant(self, plane: int) -> bool:
        """True if a plane of the input holds one value: such planes were copied."""
        if plane not in self._constant:
            ends = [np.inf, -np.inf]
            for pixels in self._blocks(plane):
                if (finite := pixels[np.isfinite(pixels)]).size:
                    ends = [min(ends[0], finite.min()), max(ends[1], finite.max())]
                if ends[0] < ends[1]:
                    break
            self._constant[plane] = not ends[0] < ends[1]
        return self._constant[plane]

    def _blocks(self, plane: int) -> Iterator[Raw]:
        """Pixels of a plane of the input, block by block: one that is large need not fit the memory."""
        volume, (height, width) = self.recipes.volume, self.info.plane_shape
        for y, x in volume.blocks(slice(0, height), slice(0, width), BLOCK):
            yield volume.read_window(plane, y, x)


def _models_of(made: Mapping[str, Any]) -> dict[str, Any]:
    """The model of each channel of an output."""
    found = {}
    for number, record in enumerate(made["channels"]):
        model = record.get("model", made.get("model"))
        found[_channel(number)] = COPIED if "copied" in record else _model(model, auto="chosen" in record)
    return found


def _models_asked(recipes: Recipes, made: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a run; of models to choose from that which the output was made with, if it is there."""
    models, theirs = recipes.models, _models_of(made)
    found = {}
    for number in range(recipes.volume.info.num_channels):
        paths = models.of_channels.get(number, ())
        own = [model_and_engine(models.loaded[path].denoiser)["model"] for path in paths]
        choices = [_model(model, auto=len(own) > 1) for model in own] or [COPIED]
        same = theirs.get(_channel(number))
        found[_channel(number)] = same if same in choices else choices[0]
    return found


def _channel(number: int) -> str:
    return f"channel {number}"


def _model(model: Mapping[str, Any], *, auto: bool) -> dict[str, Any]:
    """A model in words, for ``differences``."""
    return {"model": f"{model['name']}, as auto chose," if auto else model["name"], "sha256": model["sha256"]}
