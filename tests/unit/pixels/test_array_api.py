"""Samplers, tiling and noise in other array modules than NumPy, and on devices: what NumPy gives, there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import array_api_strict
import numpy as np
import pytest
import zarr
from array_api_compat import array_namespace, device
from numpy.testing import assert_allclose

from baikal_deploy import Run, RunConfig
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.denoising.tiled import TiledPredictor
from baikal_deploy.denoising.windows import TilePlan
from baikal_deploy.diffusion.random_field import DeviceNoiseField, NoiseField
from baikal_deploy.diffusion.samplers import make_sampler
from baikal_deploy.pixels.counts import Tally
from tests.array_engines import DEVICES, PLACES, SPEC, STRICT, TORCH, ArrayEngine, downloaded, uploaded

RNG = np.random.default_rng(5)
SHAPE = (2, 1, 18, 26)
Y = RNG.normal(0.3, 1.3, SHAPE).astype(np.float32)
"""Reaches well beyond every clipping range."""
GUIDE = RNG.normal(0, 0.4, SHAPE).astype(np.float32)

Noise = Callable[[int, int], Any]


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """An older standard, and none of what makes a device report to the host."""
    with array_api_strict.ArrayAPIStrictFlags(
        api_version="2023.12", boolean_indexing=False, data_dependent_shapes=False
    ):
        yield


def noise(place: str) -> Noise:
    """The same numbers in every place."""

    def drawn(visit: int, draw: int) -> Any:
        planes = np.random.default_rng((visit, draw)).standard_normal(SHAPE, dtype=np.float32)
        return uploaded(planes, PLACES[place])

    return drawn


def is_at(planes: Any, place: str) -> bool:
    like = PLACES[place]
    same = array_namespace(planes) is array_namespace(like) and device(planes) == device(like)
    return same and planes.dtype == array_namespace(like).float32


def sampled(place: str, name: str, options: dict[str, Any], guided: bool) -> np.ndarray:
    engine = ArrayEngine(place)
    request = make_sampler(name, {"start": 120, "steps": "walk4", **options}, {})
    sampler = request.resolved(100.0, 1000, engine.manifest.variance)
    guide = engine.upload(GUIDE) if guided else None
    predict = TiledPredictor(engine, 16, 8, 3).predict
    result = sampler.sample(predict, engine.upload(Y), sampler.respace(SPEC.build()), noise(place), guide)
    assert is_at(result, place)
    return engine.download(result)


@pytest.mark.parametrize("place", DEVICES)
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("forward-backward", {}),
        ("forward-backward", {"clip": "unit", "runs": 2}),
        ("forward-backward", {"variance": "fixed_small"}),
        ("forward-backward", {"variance": "fixed_large"}),
        ("mixing", {}),
        ("mixing", {"mix": "before", "weights": "cosine", "runs": 3}),
        ("mixing", {"weights": "exponential", "clip": "unit", "variance": "fixed_small", "stop": 0}),
        ("mixing", {"w_start": 0.0, "w_end": 0.0}),
        ("repaint", {}),
        ("repaint", {"renoise": False, "interval": 1, "variance": "fixed_large"}),
        ("repaint", {"mix": "before", "weights": "constant", "interval": 3, "final_repeats": 2, "runs": 2}),
    ],
)
def test_samplers_give_what_they_give_in_numpy(
    name: str, options: dict[str, Any], guided: bool, place: str
) -> None:
    expected = sampled("numpy", name, options, guided)
    assert_allclose(sampled(place, name, options, guided), expected, atol=2e-5)


@pytest.mark.parametrize("place", DEVICES)
@pytest.mark.parametrize("variance", ["fixed_small", "learned_range"])
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize(
    ("shape", "tile", "overlap"),
    [((64, 48), 64, 0), ((61, 43), 64, 0), ((61, 90), 32, 8), ((64, 40), 16, 0), ((1, 3), 32, 8)],
)
def test_windows_give_what_they_give_in_numpy(
    shape: tuple[int, int], tile: int, overlap: int, batch: int, variance: Any, place: str
) -> None:
    x = np.random.default_rng(shape).normal(size=(2, 1, *shape)).astype(np.float32)
    expected, found = (
        TiledPredictor(engine, tile, overlap, batch).predict(engine.upload(x), 321.5)
        for engine in (ArrayEngine("numpy", variance), ArrayEngine(place, variance))
    )
    assert (found[1] is None) == (expected[1] is None) == (variance == "fixed_small")
    for ours, theirs in zip(found, expected, strict=True):
        if ours is not None:
            assert is_at(ours, place)
            assert ours.shape == x.shape
            assert_allclose(downloaded(ours), theirs, atol=1e-5)


@pytest.mark.parametrize("place", PLACES)
def test_what_a_plan_needs_is_uploaded_once_for_all_steps(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = list[tuple[int, int]](), TilePlan.parts
    monkeypatch.setattr(TilePlan, "parts", lambda plan: made.append(plan.shape) or original(plan))
    engine = ArrayEngine(place)
    predictor = TiledPredictor(engine, 16, 8)
    small, large = (np.zeros((1, 1, side, side), np.float32) for side in (21, 40))
    for planes in (small, small, large, large, large):
        predictor.predict(engine.upload(planes), 3.0)
    assert made == [(21, 21), (40, 40)]


def test_one_predictor_may_serve_several_places() -> None:
    """As the analytic engine can; torch's and NumPy's devices go by one name."""
    engine = ArrayEngine("numpy")
    predictor = TiledPredictor(engine, 16, 8)
    expected, _ = predictor.predict(Y, 3.0)
    other = array_api_strict.zeros(1, device=array_api_strict.Device("device1"))
    for engine.like in (TORCH, STRICT, other):
        found, _ = predictor.predict(engine.upload(Y), 3.0)
        assert_allclose(downloaded(found), expected, atol=1e-6)


@pytest.fixture
def denoised(tmp_path: Path) -> Callable[[str], np.ndarray]:
    """A whole ``Denoiser.denoise`` of raw planes with a guide, in a place."""
    rng, model = np.random.default_rng(1), tmp_path / "model.onnx"
    planes, guide = rng.poisson(400, (3, 26, 37)).astype(np.uint16), np.full((3, 26, 37), 380, np.uint16)
    guide[:, ::7] = 450
    model.touch()

    def run(place: str) -> np.ndarray:
        denoiser = Denoiser(ArrayEngine(place), model, tile=24, overlap=8, batch=2, passed_over={})
        seen = list[int]()
        result = denoiser.denoise(planes, "repaint", seed=2**63 + 1, guide=guide, progress=seen.append)
        assert isinstance(result, np.ndarray)
        assert (result.dtype, result.shape) == (planes.dtype, planes.shape)
        assert {*seen} == {1}, "the windows of one plane fill a call"
        return result.astype(int)

    return run


@pytest.mark.parametrize("place", DEVICES)
def test_a_denoiser_gives_what_it_gives_in_numpy(
    denoised: Callable[[str], np.ndarray], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def host(seed: int, planes: Any, shape: tuple[int, int], like: Any, origin: tuple[int, int]) -> Noise:
        assert is_at(like, place)
        fields = [NoiseField(seed, plane, shape, origin) for plane in planes]
        return lambda *at: uploaded(np.stack([field(*at) for field in fields])[:, None], like)

    expected = denoised("numpy")
    monkeypatch.setattr("baikal_deploy.denoising.batch.noise_source", host)
    found = denoised(place)
    assert np.abs(found - expected).max() <= 1  # one count of rounding
    assert np.ptp(expected) > 20


def test_a_denoiser_draws_the_same_noise_on_every_device(denoised: Callable[[str], np.ndarray]) -> None:
    host, *devices = (denoised(place) for place in PLACES)
    assert np.abs(devices[0] - devices[1]).max() <= 1  # one count of rounding
    assert np.abs(devices[0] - host).max() > 5


@pytest.mark.parametrize("place", PLACES)
def test_the_provenance_names_the_generator(tmp_path: Path, place: str) -> None:
    zarr.create_array(tmp_path / "in.zarr", data=RNG.poisson(100, (2, 16, 16)).astype(np.uint16))
    with Run(RunConfig(tmp_path / "in.zarr", engine="analytic")) as run:
        run.models.of(0).denoiser.predictor = TiledPredictor(ArrayEngine(place))
        name = run.provenance(Tally(), [])["noise"]
    assert name == (NoiseField if place == "numpy" else DeviceNoiseField).GENERATOR
