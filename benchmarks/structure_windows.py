"""Windows that teach kinds of structure: of a corpus, simulated, and made bright field (for structures.py).

A run tells structures by the estimates of its measurement. So each window is a piece of a clean image at some
magnification, with white noise that an estimate has taken off again, or a blur that leaves as much.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from baikal_deploy import Denoiser
from baikal_deploy.diffusion.samplers.matched import posterior_mean
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.measurement.structure.features import SIDE, features
from baikal_deploy.pixels.arrays import Plane
from baikal_training.data import CleanVolume, open_clean
from baikal_training.data.volumes import InMemory
from baikal_training.simulate import simulate

TAUGHT_AS = {
    "nuclei": "nuclei",
    "tissue": "nuclei",  # sections and imprints of tissue, stained for DNA
    "actin": "fibres",
    "microtubules": "fibres",
    "mitochondria": "fibres",
    "neurons": "fibres",
    "vesicles_spots": "fibres",
    "embryo_worm": "fibres",
    "membranes": "membranes",
    "er_rna_cytoplasm": "cells",
    "bacteria_yeast": "cells",
}
"""Structures of the corpus, and the kind that each is taught as; bright field is made of them all."""
BRIGHT_FIELD = "bright field"
LEFT_OUT = ("cp_comet", "neubias_nup_n")
"""Sources that look like no nuclei in a window: tails of DNA, and two nuclei that fill it."""
SIMULATED = {"nuclei": "nuclei", "tribolium": "nuclei", "planaria": "nuclei", "flywing": "membranes"}
"""Simulated images, and the kind that each is taught as."""
SIMULATED_PLANES, SIMULATED_SIDE = 3, 320

SMALLEST, LARGEST = 0.5, 1.6
"""Magnifications; small images are magnified more, so that they fill a window."""
PLACES = 4
LEAST_CONTRAST = 0.6
"""Places that are tried until one has so much of its image's contrast; else the best is taken."""
LEAST_RANGE = 0.3
"""Range of a window's intensities, over the image's, below which it is a dark part of it."""
GAMMAS, BENT = (0.7, 1.4), 0.3
"""Exponents on intensities, and the share of windows that have one."""
LEVELS = (6.0, 25.0)
"""Noise, as the PSNR of the noisy window in dB."""
BY_MODEL = 0.12
"""Share of windows that a model has denoised; the others are blurred, which costs next to nothing."""
BLURS = (6.0, 12.0, 18.0, 25.0), (1.4, 0.9, 0.6, 0.3)
"""Noise in dB, and the standard deviation in pixels of a blur that leaves as much of the image as a model."""
BRIGHT = 6
"""Of so many windows of a source, one is turned into bright field as well."""

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Source:
    """Images of one kind from one place."""

    name: str
    kind: str
    volumes: tuple[CleanVolume, ...]


@dataclass(frozen=True)
class Windows:
    """Features of windows (N, features), the kind of each, and the name of its source."""

    features: Features
    kinds: NDArray[np.str_]
    sources: NDArray[np.str_]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Windows:
        return Windows(self.features[chosen], self.kinds[chosen], self.sources[chosen])


def sources(corpus: Path) -> Iterator[Source]:
    """The sources of a corpus, and simulated ones in place of its own.

    Raises:
        ConfigError: not a corpus, or a structure that TAUGHT_AS has not.
        VolumeError: images that cannot be used.
    """
    catalogue = open_clean([corpus], Normalisation())
    if catalogue.corpus is None:
        raise ConfigError(f"{corpus}: is not the .toml file of a corpus (docs/training.md); give one")
    for source in catalogue.corpus.sources:
        volumes = tuple(volume for volume in catalogue.volumes if volume.source == source.name)
        if not volumes or source.name in LEFT_OUT or source.origin.startswith("baikal-simulate"):
            print(f"{source.name}: left out", flush=True)
            continue
        if source.structure not in TAUGHT_AS:
            raise ConfigError(
                f"{corpus}: {source.name}: shows {source.structure!r}, which is no structure of "
                f"TAUGHT_AS in {Path(__file__).name}; say there which kind it is"
            )
        yield Source(source.name, TAUGHT_AS[source.structure], volumes)
    for morphology, kind in SIMULATED.items():
        yield Source(f"sim_{morphology}", kind, tuple(_simulated(morphology)))


def _simulated(morphology: str) -> Iterator[CleanVolume]:
    for seed in range(SIMULATED_PLANES):
        name = f"{morphology} {seed}"
        pixels = simulate(morphology, (1, 1, SIMULATED_SIDE, SIMULATED_SIDE), seed)[0]
        yield CleanVolume(name, InMemory(name, pixels), Normalisation().of(list(pixels)), name)


def windows(found: Sequence[Source], count: int, denoisers: Sequence[Denoiser]) -> Windows:
    """Windows of sources, and bright field made of some.

    Args:
        count: of windows of each source; those that hold one value are left out.
        denoisers: models that denoise some of them.
    """
    rows: list[tuple[Features, str, str]] = []
    for source in found:
        rng = np.random.default_rng(zlib.crc32(source.name.encode()))
        for number in range(count):
            clean = _clean(source, rng)
            if clean is None:
                continue
            estimate = _seen(clean, denoisers, rng)
            shown = {source.kind: estimate}
            if number % BRIGHT == 0:
                shown[BRIGHT_FIELD] = _bright_field(estimate, rng)
            for kind, image in shown.items():
                if (vector := features(image.astype(np.float32))) is not None:
                    rows.append((vector, kind, source.name))
        print(f"{source.name}: {source.kind}, {len(source.volumes)} images", flush=True)
    vectors, kinds, names = zip(*rows, strict=True)
    return Windows(np.stack(vectors), np.array(kinds), np.array(names))


def _clean(source: Source, rng: Generator) -> Plane | None:
    """A window of an image of a source, −1 … 1 where the image is not constant."""
    volume = source.volumes[int(rng.integers(len(source.volumes)))]
    planes, height, width = volume.planes.shape
    plane = volume.read(int(rng.integers(planes)), slice(0, height), slice(0, width))
    window = _magnified(plane, rng)
    (low, high), (darkest, brightest) = (np.percentile(image, (1, 99.8)) for image in (plane, window))
    low, high = min(low, darkest), max(brightest, darkest, low + LEAST_RANGE * (high - min(low, darkest)))
    if not high > low:
        return None
    window = IntensityMap(float(low), float(high)).normalise(window)
    if rng.random() < BENT:
        window = np.clip((window + 1) / 2, 0, 2) ** rng.choice(GAMMAS) * 2 - 1
    return window


def _magnified(plane: Plane, rng: Generator) -> Plane:
    """A part of a plane with contrast, magnified to SIDE² pixels and turned."""
    lowest = max(SMALLEST, SIDE / min(plane.shape))
    magnification = math.exp(rng.uniform(math.log(lowest), math.log(max(LARGEST, lowest * 1.3))))
    if magnification < 1:  # pixels are drawn together
        plane = gaussian_filter(plane, 0.4 / magnification)
    side = min(math.ceil(SIDE / magnification) + 2, *plane.shape)
    best = part = _part(plane, side, rng)
    for _ in range(PLACES - 1):
        if part.std() > LEAST_CONTRAST * plane.std():
            break
        part = _part(plane, side, rng)
        best = max(best, part, key=np.std)
    window = zoom(best, (SIDE + 1e-3) / side, order=1)[:SIDE, :SIDE]
    return np.ascontiguousarray(np.rot90(window, int(rng.integers(4))))


def _part(plane: Plane, side: int, rng: Generator) -> Plane:
    top, left = (int(rng.integers(length - side + 1)) for length in plane.shape)
    return plane[top : top + side, left : left + side]


def _seen(clean: Plane, denoisers: Sequence[Denoiser], rng: Generator) -> Plane:
    """What a run sees of a clean window in noise."""
    level = rng.uniform(*LEVELS)
    sigma = 2 * 10 ** (-level / 20)
    noise = (sigma * rng.standard_normal(clean.shape)).astype(np.float32)
    if rng.random() < BY_MODEL:
        return _estimate(denoisers[int(rng.integers(len(denoisers)))], clean + noise, sigma)
    width = np.interp(level, *BLURS) * rng.uniform(0.5, 1.3)
    left = gaussian_filter(noise, max(1.5, 2.5 * width)) * np.float32(rng.uniform(0, 0.5))
    seen: Plane = gaussian_filter(clean, width) + left
    return seen


def _estimate(denoiser: Denoiser, noisy: Plane, sigma: float) -> Plane:
    """One evaluation of a model, as its measurement makes them."""
    engine, schedule = denoiser.predictor.engine, denoiser.manifest.schedule.build()
    level = schedule.noise_of_timestep(schedule.timestep_of_noise(sigma))
    y = engine.upload(noisy.astype(np.float32)[None, None])
    estimate: Plane = engine.download(posterior_mean(denoiser.predictor.predict, y, schedule, level))[0, 0]
    return estimate


def _bright_field(estimate: Plane, rng: Generator) -> Plane:
    """What shines, as transmitted light might show it: by absorption, shading or halos."""
    light = np.clip((estimate + 1) / 2, -0.1, 1.2)
    way = rng.integers(3)
    if way == 0:  # stained
        uneven = gaussian_filter(rng.normal(size=light.shape), 20)
        return np.asarray(np.exp(-rng.uniform(0.5, 2) * light) + 0.6 * uneven)
    if way == 1:  # differential interference contrast
        along_y, along_x = np.gradient(gaussian_filter(light, rng.uniform(0.5, 2)))
        angle = rng.uniform(0, 2 * math.pi)
        return np.asarray(along_y * math.cos(angle) + along_x * math.sin(angle))
    halo = gaussian_filter(light, rng.uniform(2, 6))  # phase contrast
    grain = gaussian_filter(rng.normal(size=light.shape), 1.5)
    return np.asarray(halo - gaussian_filter(light, 1) + rng.uniform(0, 0.09) * grain)
