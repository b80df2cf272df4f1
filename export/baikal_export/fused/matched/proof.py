"""Fused matched against the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.neighbours import unfused
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.diffusion.samplers.matched import Matched
from baikal_deploy.engines import open_engine
from baikal_deploy.engines._onnxruntime.session import open_session
from baikal_deploy.engines.base import EngineOptions
from baikal_deploy.live.past import Past
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.gate import Gate
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.noise_model import Kernel, NoiseModel
from baikal_deploy.measurement.spectrum import REACH
from baikal_deploy.models.manifest import read_manifest
from baikal_deploy.pixels.arrays import Plane, Planes
from baikal_export.fused.matched.inputs import beginning, told, told_gate

_INTENSITY = IntensityMap(100.0, 1100.0)


def _blurred_kernel() -> Kernel:
    """Autocorrelation of noise that is blurred more along x than along y."""
    distances = np.arange(-REACH, REACH + 1)
    along_y, along_x = (np.exp(-((distances / reach) ** 2)) for reach in (1.5, 4.0))
    return tuple(map(tuple, np.outer(along_y, along_x).tolist()))


_NOISES = (
    NoiseModel.uniform(60.0),
    NoiseModel(4.0, -250.0, 300.0, 40.0),
    NoiseModel(30.0, 900.0, 1500.0, 120.0),
    NoiseModel(4.0, -250.0, 300.0, 40.0, 1.6, 2.4, _blurred_kernel()),
    NoiseModel(4.0, -250.0, 300.0, 40.0, 1.7, 2.9, _blurred_kernel(), rows=0.1, columns=0.02),
)


_GATE = Gate(0.05, ((0.5, 0.01), (1.0, 0.05), (2.0, 0.2)), {"t": 2.25}, {"t": 0.3})


def largest_difference(sampler: Matched, model: Path, path: Path) -> float:
    """Largest difference of two small planes with several kinds of noise; see ``FusedSampler``.

    Args:
        sampler: its options.
        model: .onnx file of the network.
        path: of the graph, which takes what was measured.
    """
    manifest = read_manifest(model)
    options, factor = EngineOptions(precision=manifest.precision), manifest.downsampling
    planes = _planes(2 * factor + 3, factor + 1)
    session = open_session("onnx-cpu", path, options, ["CPUExecutionProvider"])
    differences = []
    with open_engine("onnx-cpu", model, manifest, options) as engine:
        denoiser = Denoiser(engine, model, 4 * factor, 0, len(planes), {})
        for noise in _NOISES:
            recipe = denoiser.recipe(sampler, Measurement(_INTENSITY, noise.level, 0, noise), 0)
            stack = Stack(planes, range(len(planes)))
            expected = denoiser.run(recipe, stack, wanted=Wanted(np.float32)).planes
            (result,) = session.run(None, {"image": planes[:, None], **told(_INTENSITY, noise)})
            differences.append(np.abs(result[:, 0] - expected).max() / _INTENSITY.half)
    return float(np.max(differences))  # unlike max(), NaN if any is


def largest_difference_live(sampler: Matched, model: Path, path: Path) -> float:
    """The same of three frames of a stream, which change a little, and then in their lower half.

    Args:
        sampler: its options.
        model: .onnx file of the network.
        path: of the graph.
    """
    manifest = read_manifest(model)
    options, factor = EngineOptions(precision=manifest.precision), manifest.downsampling
    session = open_session("onnx-cpu", path, options, ["CPUExecutionProvider"])
    differences = []
    with open_engine("onnx-cpu", model, manifest, options) as engine:
        denoiser = Denoiser(engine, model, 4 * factor, 0, 1, {})
        for noise in _NOISES:
            recipe = denoiser.recipe(sampler, Measurement(_INTENSITY, noise.level, 0, noise, gate=_GATE), 0)
            past, state = None, beginning(2 * factor + 3, factor + 1)
            for frame in _frames(2 * factor + 3, factor + 1):
                past = Past.of(past, unfused(denoiser, recipe, frame[None])[0], recipe)
                given = {"image": frame[None, None], **told(_INTENSITY, noise), **told_gate(_GATE), **state}
                result, *kept = session.run(None, given)
                state = dict(zip(state, kept, strict=True))
                expected = _INTENSITY.denormalise(past.running.estimate.plane, np.float32)
                differences.append(np.abs(result[0, 0] - expected).max() / _INTENSITY.half)
    return float(np.max(differences))


def _frames(height: int, width: int) -> list[Plane]:
    first, other = _planes(height, width)
    below = np.arange(height)[:, None] >= height // 2
    return [first, first + 0.02 * (other - first), np.where(below, other, first)]


def _planes(height: int, width: int) -> Planes:
    """Two planes of dark and bright blocks with noise, and a pixel brighter than the network is shown."""
    random = np.random.default_rng(0)
    blocks = random.uniform(50, 1200, (2, height // 4 + 1, width // 4 + 1)).repeat(4, 1).repeat(4, 2)
    planes = blocks[:, :height, :width] + random.normal(0, 60, (2, height, width))
    planes[0, 3, 4] = 9_000
    return planes.astype(np.float32)
