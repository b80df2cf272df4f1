"""Clean planes to verify and to calibrate with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from baikal_deploy.diffusion.random_field import NoiseField
from baikal_deploy.diffusion.schedule import NoiseSchedule
from baikal_deploy.errors import ConfigError, VolumeError
from baikal_deploy.models.manifest import ModelManifest, Stored
from baikal_export.trained import TrainedModel
from baikal_training.data import CleanVolume, open_clean
from baikal_training.data.crops import BACKGROUND_RETRIES, BACKGROUND_STD, PlaneSampler, window
from baikal_training.data.readers import Channel
from baikal_training.data.volumes import Plane
from baikal_training.simulate import morphologies, simulate

Part = Literal["training", "validation"]
Model = TrainedModel | ModelManifest
"""What tells the normalisation of images, and the multiples that the network takes."""
NoisyPlane = tuple[NDArray[np.float32], float]
"""A noisy plane x_t (1, 1, H, W), and its timestep."""


@dataclass(frozen=True)
class Amount:
    """Number of planes to take, and the most that their sides can have, in pixels."""

    count: int
    side: int


TO_VERIFY = Amount(8, 256)
TO_CALIBRATE = Amount(64, 128)
TO_SIMULATE = Amount(4, 256)


@dataclass(frozen=True)
class CleanPlanes:
    """Planes (H, W) on the network's scale, H and W multiples of its downsampling; there may be none.

    Attributes:
        source: where they come from, or why there are none. It goes into the file, so it names no
            paths of the machine.
    """

    planes: tuple[Plane, ...]
    source: str

    def noised(self, schedule: NoiseSchedule, timesteps: Iterable[int], seed: int) -> Iterator[NoisyPlane]:
        """One plane for each timestep, in turn, each with noise of its own."""
        for index, t in enumerate(timesteps):
            plane = self.planes[index % len(self.planes)]
            noise = NoiseField(seed, index, (plane.shape[0], plane.shape[1]))(0, 0)
            yield schedule.q_sample(plane, t, noise)[None, None], float(t)


NONE = CleanPlanes((), "none were given")


@dataclass(frozen=True)
class Images:
    """Clean images that somebody names, to verify and to calibrate with.

    Attributes:
        verify, calibrate: files and folders; without any, the checkpoint's own volumes are taken.
        channel: of images with several.
    """

    verify: tuple[Path, ...]
    calibrate: tuple[Path, ...]
    channel: str | None

    def planes(self, precision: Stored, trained: TrainedModel) -> tuple[CleanPlanes, CleanPlanes]:
        """The planes to verify and to calibrate with.

        Raises:
            ConfigError: there are none, and the precision needs them.
            VolumeError: named images cannot be used.
        """
        if self.calibrate and precision != "int8":
            raise ConfigError(f"--calibrate: --precision {precision} takes no calibration; only int8 does")
        if self.channel is not None and not self.verify + self.calibrate:
            raise ConfigError(
                f"--channel {self.channel}: of which images? It goes with --verify and --calibrate"
            )
        clean = self._taken("validation", self.verify, trained, TO_VERIFY)
        needed, calibration = {"--verify": clean}, NONE
        if precision == "int8":
            calibration = self._taken("training", self.calibrate, trained, TO_CALIBRATE)
            needed["--calibrate"] = calibration
        missing = {option: found.source for option, found in needed.items() if not found.planes}
        if precision != "fp32" and missing:
            raise ConfigError(
                f"--precision {precision}: {'; '.join(missing.values())}; name clean images with "
                f"{' and '.join(missing)}"
            )
        return clean, calibration

    def to_record(self, manifest: ModelManifest) -> CleanPlanes:
        """Planes to measure the loss of an exported model on: those that are named, or simulated ones.

        Raises:
            VolumeError: named images cannot be used.
        """
        if not self.verify:
            return simulated(manifest)
        return given(self.verify, self._number, manifest, TO_VERIFY)

    @property
    def _number(self) -> Channel:
        return int(self.channel) if self.channel is not None and self.channel.isdecimal() else self.channel

    def _taken(
        self, part: Part, paths: tuple[Path, ...], trained: TrainedModel, amount: Amount
    ) -> CleanPlanes:
        return given(paths, self._number, trained, amount) if paths else of_checkpoint(part, trained, amount)


def given(paths: Sequence[Path], channel: Channel, trained: Model, amount: Amount) -> CleanPlanes:
    """Planes of images that somebody names.

    Raises:
        VolumeError: nothing there can be read, or is as large as the network needs it.
    """
    volumes = open_clean(paths, trained.normalisation, channel).volumes
    large = [volume for volume in volumes if _fits(volume, trained)]
    if not large:
        raise VolumeError(
            f"{', '.join(map(str, paths))}: every plane is smaller than the {trained.downsampling} x "
            f"{trained.downsampling} pixels that the network needs; give larger ones"
        )
    chosen = sorted(large, key=lambda volume: volume.fingerprint)[: amount.count]
    return _taken(chosen, f"{len(chosen)} of {len(large)} volumes that were named", trained, amount)


def simulated(manifest: ModelManifest) -> CleanPlanes:
    """A plane of each of the simulator's morphologies, for a model that names no clean images."""
    side = max(TO_SIMULATE.side // manifest.downsampling, 1) * manifest.downsampling
    planes = []
    for seed, morphology in enumerate(morphologies()[: TO_SIMULATE.count]):
        plane = simulate(morphology, (1, 1, side, side), seed)[0, 0]
        planes.append(manifest.normalisation.of([plane]).normalise(plane))
    return CleanPlanes(tuple(planes), f"simulated: {', '.join(morphologies()[: TO_SIMULATE.count])}")


def of_checkpoint(part: Part, trained: TrainedModel, amount: Amount) -> CleanPlanes:
    """Planes of the volumes that the model was trained on or validated with.

    Of those, the ones that are where they were, with the pixels that they had; so there may be none.
    """
    named = sorted(trained.volumes.get(part, ()), key=lambda volume: str(volume["fingerprint"]))
    if not named:
        return CleanPlanes((), f"the model names no {part} volumes")
    found = list(islice(_unchanged(named, trained), amount.count))
    if not found:
        return CleanPlanes((), f"none of the model's {len(named)} {part} volumes is where and as it was")
    return _taken(found, f"{len(found)} of the model's {len(named)} {part} volumes", trained, amount)


def _unchanged(named: Sequence[dict[str, Any]], trained: TrainedModel) -> Iterator[CleanVolume]:
    for volume in named:
        path, channel = _place(volume["name"])
        try:
            found = () if path is None else open_clean([path], trained.normalisation, channel).volumes
        except VolumeError:
            continue
        for one in found:
            if one.fingerprint == volume["fingerprint"] and _fits(one, trained):
                yield one


def _fits(volume: CleanVolume, trained: Model) -> bool:
    return min(volume.planes.shape[1:]) >= trained.downsampling


def _place(name: str) -> tuple[Path | None, Channel]:
    """The file in a volume's name, if there is one, and the channel.

    A name is the file's path, and then ", "-separated what identifies the volume inside it.
    """
    parts = name.split(", ")
    kind, _, number = parts[-1].partition(" ")
    channel = int(number) if kind == "channel" and number.isdecimal() else None
    paths = (Path(", ".join(parts[:end])) for end in range(len(parts), 0, -1))
    return next((path for path in paths if path.exists()), None), channel


def _taken(volumes: Sequence[CleanVolume], source: str, trained: Model, amount: Amount) -> CleanPlanes:
    """The same windows each time, from one volume after the other."""
    planes = []
    for index in range(amount.count):
        places = PlaneSampler([volumes[index % len(volumes)]])
        planes.append(_telling(places, amount.side, np.random.default_rng([0, index])))
    factor = trained.downsampling
    cut = tuple(
        plane[: plane.shape[0] // factor * factor, : plane.shape[1] // factor * factor] for plane in planes
    )
    return CleanPlanes(cut, source)


def _telling(places: PlaneSampler, side: int, rng: np.random.Generator) -> Plane:
    """A random window; one of background alone is drawn again, a few times at most."""
    for _ in range(BACKGROUND_RETRIES):
        seen = window(*places.plane(rng), side, rng)
        if seen.std() > BACKGROUND_STD:
            break
    return seen
