"""Matched as one graph equals the runtime, and measures what it is not told as the runtime does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from PIL import Image
from scipy.ndimage import gaussian_filter

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.stack import Stack, Wanted
from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.intensity import IntensityMap, Normalisation
from baikal_deploy.measurement.noise_model import NoiseModel, fit_noise, grey_level
from baikal_deploy.measurement.screen import NOTHING_WRONG
from baikal_deploy.models.manifest import find_model, read_manifest
from baikal_export.fused import parse, write
from baikal_export.fused.matched import equaliser, measuring, sampler
from baikal_export.fused.matched.fit import Details, fitted
from baikal_export.fused.matched.inputs import told
from baikal_export.fused.nodes import Nodes, Value
from tests.models import exported

TOLERANCE = 1e-4
INTENSITY = IntensityMap(130.0, 2130.0)
SHOT = NoiseModel(3.0, -150.0, 400.0, 60.0)
DISTANCES = np.arange(-12, 13)
OBLIQUE = np.add.outer(DISTANCES**2 / 3, DISTANCES**2 / 8) + np.outer(DISTANCES, DISTANCES) / 8
KERNEL = tuple(map(tuple, np.exp(-OBLIQUE).tolist()))  # no symmetry of the square leaves it as it is
SHARED = dataclasses.replace(SHOT, correlation=2.0, raised=3.5, kernel=KERNEL)
LINES = dataclasses.replace(SHARED, rows=0.08, columns=0.02)
NOISES = {
    "shot": SHOT,
    "few photons": NoiseModel(40.0, -2000.0, 900.0, 200.0),
    "uniform": NoiseModel.uniform(90.0),
    "none": NoiseModel.uniform(0.0),
    "shared": SHARED,
    "lines": LINES,
}
MANIFEST = read_manifest(exported())
Given = dict[str, np.ndarray]


def session_of(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    data = str(model) if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])


@cache
def fused(text: str, measures: bool = False) -> onnxruntime.InferenceSession:
    made = parse(text, MANIFEST)
    made = dataclasses.replace(made, form="alone") if measures else made
    return session_of(made.build(onnx.load(exported()), MANIFEST))


def inputs(planes: np.ndarray, intensity: IntensityMap, noise: NoiseModel) -> Given:
    return {"image": planes[:, None], **told(intensity, noise)}


def runtime(text: str, planes: np.ndarray, intensity: IntensityMap, noise: NoiseModel) -> np.ndarray:
    chosen = parse(text, MANIFEST)
    assert isinstance(chosen, sampler.FusedMatched)
    with Denoiser.load(exported(), "onnx-cpu", threads=1, batch=len(planes)) as denoiser:
        recipe = denoiser.recipe(chosen.sampler, Measurement(intensity, noise.level, 0, noise), 0)
        return denoiser.run(recipe, Stack(planes, range(len(planes))), wanted=Wanted(np.float32)).planes


def noisy(shape: tuple[int, ...]) -> np.ndarray:
    """Edges, some noise, and a pixel brighter than the network is shown."""
    random = np.random.default_rng(1)
    planes = np.where(random.uniform(size=shape).cumsum(-1) % 5 < 2.5, 300, 1700) + random.normal(
        0, 90, shape
    )
    planes[..., 0, 0] = 30_000
    return planes.astype(np.float32)


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES.keys())
@pytest.mark.parametrize("shape", [(1, 37, 53), (2, 5, 3), (1, 1, 1), (1, 16, 32)], ids=str)
def test_equals_the_runtime(shape: tuple[int, ...], noise: NoiseModel) -> None:
    planes = noisy(shape)
    (result,) = fused("matched").run(None, inputs(planes, INTENSITY, noise))
    expected = runtime("matched", planes, INTENSITY, noise)
    assert np.abs(result[:, 0] - expected).max() <= TOLERANCE * INTENSITY.half
    assert planes.size == 1 or np.abs(result[:, 0] - planes).max() > 1e-3 * INTENSITY.half


@pytest.mark.parametrize(
    ("text", "noise"),
    [
        ("matched,evaluations=2", SHOT),
        ("matched,start=300", SHOT),
        ("matched,evaluations=3", LINES),
        ("matched,symmetries=8", SHARED),
        ("matched,start=300", SHARED),
        ("matched,evaluations=1", SHARED),
        ("matched,start=2", SHARED),  # below the weakest noise: one step is all
    ],
)
def test_options_equal_the_runtime(text: str, noise: NoiseModel) -> None:
    planes = noisy((1, 21, 13))
    (result,) = fused(text).run(None, inputs(planes, INTENSITY, noise))
    expected = runtime(text, planes, INTENSITY, noise)
    assert np.abs(result[:, 0] - expected).max() <= TOLERANCE * INTENSITY.half
    plain = runtime("matched", planes, INTENSITY, noise)
    assert np.abs(plain - expected).max() > 10 * TOLERANCE * INTENSITY.half


def test_zeros_are_noise_that_pixels_do_not_share() -> None:
    planes = noisy((1, 21, 13))
    known = inputs(planes, INTENSITY, SHOT)
    (expected,) = fused("matched").run(None, known)
    assert not known["kernel"].any()
    assert known["correlation"].tolist() == [1, 1, 0, 0]
    (result,) = fused("matched").run(None, known | {"correlation": np.zeros(4, np.float32)})
    np.testing.assert_array_equal(result, expected)


def test_image_of_one_value_stays_as_it_is() -> None:
    planes = np.full((1, 12, 9), 7, np.float32)
    for graph in (fused("matched"), fused("matched", measures=True)):
        feed = {name: np.full_like(value, np.nan) for name, value in inputs(planes, INTENSITY, SHOT).items()}
        feed["image"] = planes[:, None]
        (result,) = graph.run(None, {one.name: feed[one.name] for one in graph.get_inputs()})
        np.testing.assert_array_equal(result[:, 0], planes)


def test_what_is_not_given_is_measured() -> None:
    """All of it as the graph that takes the image alone does; of some of it the rest is what was given."""
    planes = noisy((2, 40, 30))
    (alone,) = fused("matched", measures=True).run(None, {"image": planes[:, None]})
    assert np.isfinite(alone).all()
    known = inputs(planes, INTENSITY, SHOT)
    missing = {name: np.full_like(value, np.nan) for name, value in known.items()} | {
        "image": planes[:, None]
    }
    (result,) = fused("matched").run(None, missing)
    np.testing.assert_allclose(result, alone, rtol=0, atol=TOLERANCE * INTENSITY.half)
    (told,) = fused("matched").run(None, known)
    partly = inputs(planes, INTENSITY, dataclasses.replace(SHOT, gain=np.nan))
    (part,) = fused("matched").run(None, partly)
    assert all(np.abs(part - other).max() > TOLERANCE * INTENSITY.half for other in (alone, told))


def test_noise_that_pixels_share_is_measured() -> None:
    """Where either of the two inputs is unknown."""
    random = np.random.default_rng(5)
    noise = gaussian_filter(random.normal(size=(1, 96, 112)), (0, 0.5, 1.0))
    planes = (np.linspace(300, 1500, 112) + noise / noise.std() * 120).astype(np.float32)
    known = inputs(planes, INTENSITY, NoiseModel.uniform(30.0))
    (white,) = fused("matched").run(None, known)
    nothing = {name: np.full_like(known[name], np.nan) for name in ("correlation", "kernel")}
    found = []
    for names in (["correlation"], ["kernel"], ["correlation", "kernel"]):
        unknown = {name: nothing[name] for name in names}
        found += fused("matched").run(None, known | unknown)
        np.testing.assert_array_equal(found[-1], found[0])
    assert np.abs(found[0] - white).max() > 50 * TOLERANCE * INTENSITY.half


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("matched,noise=uniform", "only matched, and walks at one noise level"),
        ("matched,evaluations=8,symmetries=4", "make 32, more than 16"),
        ("matched,start=1000", "start 1000: out of range"),
        ("matched,evaluations=9", "must lie within 1 … 8"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text, MANIFEST)


def test_model_that_knows_other_noise_is_refused() -> None:
    kernel = ((0.0, 0.2, 0.0), (0.2, 1.0, 0.2), (0.0, 0.2, 0.0))
    with pytest.raises(ConfigError, match="knows correlated noise"):
        parse("matched", dataclasses.replace(MANIFEST, noise_correlation=kernel))


@pytest.mark.slow
def test_network_with_a_variance_is_taken(tmp_path: Path) -> None:
    model = exported("eps", "learned_range")
    path = tmp_path / "fused.onnx"
    assert write(parse("matched,symmetries=2", read_manifest(model)), model, path) <= TOLERANCE
    with pytest.raises(ModelError, match="not a network; give the model that it was made of"):
        read_manifest(path)


def test_graph_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equaliser, "_SHARES", 1.1 * equaliser._SHARES)
    with pytest.raises(ModelError, match="not written; the graph and the NumPy sampler differ"):
        write(parse("matched", MANIFEST), exported(), tmp_path / "fused.onnx")


def computed(make: Callable[..., Sequence[Value]], **given: np.ndarray) -> list[np.ndarray]:
    """Values of nodes, by ONNX Runtime."""
    nodes = Nodes()
    made = [nodes.named(one, f"result_{i}") for i, one in enumerate(make(*map(nodes.given, given)))]
    tensors = [helper.make_tensor_value_info(name, 1, value.shape) for name, value in given.items()]
    outputs = [helper.make_tensor_value_info(one.name, 1, None) for one in made]
    graph = helper.make_graph(nodes.made, "test", tensors, outputs, list(nodes.initializers.values()))
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    results: list[np.ndarray] = session_of(model).run(None, given)
    return results


def scene() -> np.ndarray:
    """A plane without noise, of many intensities, a few of them very bright."""
    x = np.linspace(0, 1, 256)
    return (200 + 1500 * np.outer(x, x) ** 3).astype(np.float32)


@pytest.mark.parametrize("saturates", [False, True])
def test_noise_is_fitted_as_in_the_runtime(saturates: bool) -> None:
    random = np.random.default_rng(2)
    clean = scene()
    plane = (random.poisson((clean - 100) / 8) * 8 + 100 + random.normal(0, 12, clean.shape)).astype(
        np.float32
    )
    plane = np.rint(plane)
    plane[::37, ::41] = 9000  # outliers
    if saturates:
        plane = np.minimum(plane, 1200)

    def fit(image: Value, estimate: Value) -> Sequence[Value]:
        details, means = measuring._haar(image).flat(), measuring._means(estimate, 2).flat()
        kept, level = measuring._known(image).flat(), measuring.grey_level(image)
        return fitted(Details(details, means, kept, level))

    found = computed(fit, image=plane[None, None], estimate=clean[None, None])
    expected = fit_noise([plane], [clean])
    assert expected.gain > 5
    np.testing.assert_allclose(found, [expected.gain, expected.intercept, expected.floor], rtol=0.03, atol=10)


def test_noise_that_is_the_same_everywhere_has_no_gain() -> None:
    plane = scene() + np.random.default_rng(3).normal(0, 30, scene().shape).astype(np.float32)

    def fit(image: Value, estimate: Value) -> Sequence[Value]:
        kept = measuring._known(image).flat()
        details, means = measuring._haar(image).flat(), measuring._means(estimate, 2).flat()
        return fitted(Details(details, means, kept, measuring.grey_level(image)))

    gain, intercept, floor = computed(fit, image=plane[None, None], estimate=scene()[None, None])
    assert (float(gain), float(intercept)) == (0, pytest.approx(900, rel=0.05))
    assert floor == intercept


def test_percentiles_and_grey_level() -> None:
    planes = np.rint(noisy((2, 33, 47)) / 4) * 4
    normalisation = Normalisation(1.0, 99.8)

    def numbers(image: Value) -> Sequence[Value]:
        return [*measuring._percentiles(image, normalisation), measuring.grey_level(image)]

    low, high, level = computed(numbers, image=planes[:, None].astype(np.float32))
    expected = normalisation.of(list(planes))
    np.testing.assert_allclose([low, high], [expected.low, expected.high], rtol=1e-6)
    assert level == grey_level(list(planes)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Confocal_BPAE_B", "TwoPhoton_MICE", "WideField_BPAE_G"])
def test_real_pairs(name: str, shared_data: Path) -> None:
    """With the shipped model, at a size that is no multiple of anything; noise of the last is shared."""
    model = find_model("general")
    plane = np.asarray(Image.open(shared_data / "fmd_paired" / f"{name}_raw1.png"))
    chosen = parse("matched", read_manifest(model))
    assert isinstance(chosen, sampler.FusedMatched)
    graph = session_of(chosen.build(onnx.load(model), read_manifest(model)))
    with Denoiser.load(model, "onnx-cpu") as denoiser:
        found = dataclasses.replace(denoiser.measure([plane], chosen.sampler), screen=NOTHING_WRONG)
        assert found.noise is not None
        assert found.noise.is_correlated == name.startswith("WideField")
        plane = plane[:331, :257]
        recipe = denoiser.recipe(chosen.sampler, found, 0)
        expected = denoiser.run(recipe, Stack(plane[None], [0]), wanted=Wanted(np.float32)).planes
    known = inputs(plane[None].astype(np.float32), found.intensity, found.noise)
    (result,) = graph.run(None, known)
    assert np.abs(result[:, 0] - expected).max() <= TOLERANCE * found.intensity.half
    unknown = {name: np.full_like(value, np.nan) for name, value in known.items() if name != "image"}
    (measured,) = graph.run(None, known | unknown)
    assert np.sqrt(np.mean((measured[:, 0] - expected) ** 2)) < 0.02 * found.intensity.half
