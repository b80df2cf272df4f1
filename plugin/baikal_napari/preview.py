"""Previews: a channel measured once, and crops of it denoised as often as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from baikal_deploy import Denoiser
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.denoising.suiting import best_suited
from baikal_deploy.diffusion.samplers import DEFAULT_SAMPLER, make_sampler
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.models.manifest import AUTO_MODEL, shipped_models
from baikal_deploy.pixels.arrays import Raw, Region, Values
from baikal_deploy.pixels.cells import CELL
from baikal_deploy.run.recipes import sample
from baikal_napari.layers import LayerVolume
from baikal_napari.view import Seen

Check = Callable[[], None]
"""Called now and then; what it raises ends the work."""
MARGIN = 32
"""Pixels around a crop that the network is shown as well, at least."""


@dataclass
class Measured:
    """A channel as it was measured.

    Attributes:
        model: name or path of the model, chosen if that was asked for.
        measurement: of the channel.
        sampled: windows that were looked at, until the curve is made of them.
        curve: see ``Denoiser.noise_curve``; None: not made yet.
    """

    model: str
    measurement: Measurement
    sampled: list[Raw]
    curve: Values | None = None


@dataclass(frozen=True)
class Wish:
    """What is to be previewed.

    Attributes:
        volume: of the layer.
        seen: the crop.
        model: name of a shipped model, path of a file, or "auto".
        budget: of the sampler.
    """

    volume: LayerVolume
    seen: Seen
    model: str
    budget: str


@dataclass
class Previewer:
    """Makes previews, one at a time. It keeps the models that it has loaded; close it.

    The network sees a little of what is around a crop and not the whole plane, so that near its edges a
    preview differs a little from what a run makes.
    """

    _denoisers: dict[str, Denoiser] = field(default_factory=dict)
    _measured: dict[Any, Measured] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def denoised(self, wish: Wish, check: Check) -> Raw:
        """The crop, denoised: (h, w), in the pixel type of the layer.

        Args:
            wish: what is to be previewed.
            check: see ``Check``.

        Raises:
            BaikalError: the model or the engine cannot be used, or pixels cannot be read.
        """
        with self._lock:
            check()
            found = self._of_channel(wish, check)
            denoiser = self._loaded(found.model)
            sampler = make_sampler(
                DEFAULT_SAMPLER, {"budget": wish.budget}, denoiser.recommended(DEFAULT_SAMPLER)
            )
            recipe = denoiser.recipe(sampler, found.measurement, 0)
            read = _with_margin(wish.seen.region, wish.volume.info.plane_shape)
            pixels = wish.volume.read_window(wish.seen.plane, *read)[None]
            stack, crop = Stack(pixels, [wish.seen.plane]), _crop(wish.seen.region, read)
            wanted = Wanted(pixels.dtype)
            plane: Raw = denoiser.run(recipe, stack, crop, wanted, progress=lambda _: check()).planes[0]
            return plane

    def noise(self, wish: Wish, check: Check) -> Measured:
        """The channel with the curve of its noise.

        Args:
            wish: what was previewed.
            check: see ``Check``.

        Raises:
            BaikalError: see ``denoised``.
        """
        with self._lock:
            check()
            found = self._of_channel(wish, check)
            if found.curve is None:
                found.curve = self._loaded(found.model).noise_curve(found.sampled, found.measurement)
                found.sampled = []
            return found

    def close(self) -> None:
        """Free the models, when the work that goes on has ended."""
        with self._lock:
            for denoiser in self._denoisers.values():
                denoiser.close()
            self._denoisers.clear()

    def _of_channel(self, wish: Wish, check: Check) -> Measured:
        key = wish.volume.mark, wish.volume.info.axes, wish.volume.order, wish.seen.channel, wish.model
        if key not in self._measured:
            sampled = sample(wish.volume, (None, wish.seen.channel))
            check()
            name = self._chosen(sampled) if wish.model == AUTO_MODEL else wish.model
            check()
            denoiser = self._loaded(name)
            measurement = denoiser.measure(sampled, make_sampler(DEFAULT_SAMPLER, {}, {}))
            self._measured[key] = Measured(name, measurement, sampled)
        return self._measured[key]

    def _chosen(self, sampled: list[Raw]) -> str:
        return best_suited(sampled, {name: self._loaded(name) for name in shipped_models()}).name

    def _loaded(self, model: str) -> Denoiser:
        if model not in self._denoisers:
            self._denoisers[model] = Denoiser.load(model)
        return self._denoisers[model]


def _with_margin(region: Region, shape: tuple[int, int]) -> Region:
    y, x = (
        slice(max(span.start - MARGIN, 0) // CELL * CELL, min(span.stop + MARGIN, size))
        for span, size in zip(region, shape, strict=True)
    )
    return y, x


def _crop(region: Region, read: Region) -> Crop:
    """What is read as planes of their own, whose noise is that of their place."""
    y, x = (
        slice(own.start - around.start, own.stop - around.start)
        for own, around in zip(region, read, strict=True)
    )
    rows, columns = (slice(0, span.stop - span.start) for span in read)
    return Crop((rows.stop, columns.stop), (rows, columns), (y, x), (read[0].start, read[1].start))
