"""The second half of a run that denoises planes again, averaged with those beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from baikal_deploy.denoising.again import REACH, Again, data_of
from baikal_deploy.denoising.batch import Progress
from baikal_deploy.denoising.compared import Result
from baikal_deploy.denoising.crop import Crop
from baikal_deploy.denoising.regions import crop_around, grown, planes_around, results_around
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.pixels.arrays import Plane, Planes
from baikal_deploy.run.config import RunConfig
from baikal_deploy.run.fused import FoundResults, Fusing
from baikal_deploy.run.items import Work
from baikal_deploy.run.plan import Round
from baikal_deploy.volumes.base import WorkItem


def second_half(config: RunConfig) -> type[Fusing]:
    """How the second half of a run goes about.

    Args:
        config: the options of the run.
    """
    return FusingAgain if config.again else Fusing


def evaluations_again(config: RunConfig, now: Round) -> int:
    """Network evaluations of planes that are denoised again after all were denoised by themselves.

    Args:
        config: the options of the run.
        now: its planes.
    """
    if not config.again or config.results is not None:
        return 0
    channels = now.work.recipes.channels
    each = {channel: each_again(now.work, channel) for channel in channels}
    return sum(now.work.recipes.evaluations(one) * each[one] for one in channels) * now.regions_per_plane


def each_again(work: Work, channel: int) -> int:
    """Those in the place of one of a single plane; none where neighbours bring nothing.

    Args:
        work: of a run that denoises again.
        channel: one that is denoised.
    """
    gate = work.recipes.first(channel).measurement.gate
    return Work.each(work, channel) if _is_asked(work, gate) else 0


def _is_asked(work: Work, gate: Gate | None) -> bool:
    """True if the network is asked: where planes are fused, or a standard deviation is wanted."""
    return gate is not None and (work.wanted.std or not gate.is_closed)


@dataclass(frozen=True)
class FusingAgain(Fusing):
    """The way in which the items of a run are fused, and denoised again; see ``Fusing`` and ``again``."""

    def each(self, channel: int) -> int:
        """Evaluations in the place of one of a single plane; see ``each_again``.

        Args:
            channel: one that is denoised.
        """
        return each_again(self, channel)

    def evaluations(self, item: WorkItem, first: int | None = None) -> int:
        """Network evaluations of planes; see ``Work.evaluations``.

        Args:
            item: of the run.
            first: of so many planes.
        """
        return Work.evaluations(self, item, first)

    def _measured_gate(self, channel: int) -> Gate | None:
        return self.recipes.first(channel).measurement.gate

    def _network_crop(self, planes: range, fused: Crop) -> Crop:
        plan = self._predictor(planes).plan(fused.whole)
        return crop_around(fused.read, plan, self.recipes.halo(planes), self.volume.origin)

    def _around(self, planes: range, fused: Crop) -> Crop:
        needed = grown(self._network_crop(planes, fused).read, REACH, fused.whole)
        return results_around(needed, fused.whole)

    def _ready(self, number: int, plane: Plane, around: Crop) -> Result:
        """A result with what it was made of."""
        result, recipe = super()._ready(number, plane, around), self._recipe(number, plane)
        if recipe is None or not _is_asked(self, self._measured_gate(self.volume.info.channel(number))):
            return result
        crop = planes_around(around.read, around.whole)
        return replace(result, data=data_of(self._original(number, crop), crop, recipe.measurement))

    def _fused(
        self, number: int, result: Callable[[int], Result], found: FoundResults, progress: Progress
    ) -> tuple[Planes, Planes | None]:
        fused, group = self._joined(number, result), self.recipes.group(number)
        recipe = self._recipe(number, fused.plane)
        gate = None if group is None else self._measured_gate(group[1])
        if recipe is None or gate is None or group is None or not _is_asked(self, gate):
            return fused.plane[replace(found.around, wanted=found.fused.read).within][None], None
        own, crop = self.recipes.models.of(group[1]), self._network_crop(found.numbers, found.fused)
        again = Again.of(own.denoiser, own.sampler, recipe, gate)
        (whole,) = self.volume.planes_of_whole([number])
        plane, std = again.denoised(fused, whole, found.around, crop, std=self.wanted.std, progress=progress)
        return plane[None], std
