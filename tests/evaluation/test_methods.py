"""The methods that need no learning, and how they are asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from baikal_deploy import Denoiser
from baikal_deploy.diffusion.samplers import sampler_names
from baikal_deploy.errors import ConfigError
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods import Model, Spec, _bm3d, method_names
from baikal_evaluation.methods.base import Stack
from baikal_evaluation.pairs import find_pairs

MODEL = Model(engine="analytic", threads=1, seed=3)


@pytest.fixture(scope="module")
def sides(pairs_folder: Path) -> tuple[Stack, Stack]:
    noisy, clean = find_pairs(pairs_folder)[0].read()
    assert clean is not None
    return noisy, clean


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("magic", "unknown method 'magic'; choose one of anscombe-bm3d, bm3d"),
        ("repaint@magic", "unknown method 'magic'"),
        ("", "unknown method ''"),
        ("repaint,steps", "write NAME,KEY=VALUE"),
        ("repaint,=3", "write NAME,KEY=VALUE"),
        ("gaussian,sigma=2", "only samplers"),
        ("bm3d@noisy", "only samplers"),
    ],
)
def test_what_cannot_be_asked_for(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Spec.parse(text)


@pytest.mark.parametrize("name", ["bm3d", "anscombe-bm3d", "spectral-bm3d"])
def test_bm3d_is_installed_by_those_who_ask_for_it(
    name: str, sides: tuple[Stack, Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(package: str) -> str:
        raise _bm3d.PackageNotFoundError(package)

    monkeypatch.setattr(_bm3d, "version", missing)
    monkeypatch.setitem(sys.modules, "bm3d", None)
    method = Spec.parse(name).make(MODEL)
    with pytest.raises(ConfigError, match="non-commercial use alone"):
        _ = method.identity
    with pytest.raises(ConfigError, match="non-commercial use alone"):
        method.denoise(sides[0][:1], None)


def test_parts_of_a_spec() -> None:
    spec = Spec.parse("mixing@n2v,preset=paper,start=80")
    assert (spec.name, spec.guide, spec.options) == ("mixing", "n2v", {"preset": "paper", "start": "80"})
    assert Spec.parse("noisy").guide is None


@pytest.mark.parametrize("name", sorted(set(method_names()) - {"n2v", "structn2v", "care", "ssid"}))
def test_every_method_keeps_shape_and_input_and_tells_what_it_is(
    name: str, sides: tuple[Stack, Stack]
) -> None:
    method = Spec.parse(name).make(MODEL)
    noisy, clean = sides[0].copy(), sides[1]
    planes = method.denoise(noisy, clean if method.ORACLE else None).planes
    assert planes.shape == noisy.shape
    assert np.isfinite(planes).all()
    assert np.array_equal(noisy, sides[0])
    assert json.dumps(method.identity) == json.dumps(Spec.parse(name).make(MODEL).identity)
    if name == "noisy" or name in sampler_names():  # there is no network in "analytic"
        return
    assert np.square(planes - clean).mean() < 0.5 * np.square(noisy - clean).mean()


def test_the_blur_is_the_best_there_is_and_needs_the_truth(sides: tuple[Stack, Stack]) -> None:
    noisy, clean = sides
    gaussian = Spec.parse("gaussian").make(MODEL)
    found = np.square(gaussian.denoise(noisy, clean).planes - clean).mean()
    for sigma in (0.5, 1.0, 2.0, 3.0, 5.0):
        assert found <= np.square(gaussian_filter(noisy, (0, sigma, sigma)) - clean).mean()
    with pytest.raises(EvaluationError, match="chooses its sigma by the clean image"):
        gaussian.denoise(noisy, None)


def test_a_sampler_is_the_runtime_itself(sides: tuple[Stack, Stack]) -> None:
    noisy, guide = sides
    method = Spec.parse("mixing,steps=walk4").make(MODEL)
    with Denoiser.load(engine="analytic", threads=1) as denoiser:
        for one in (None, guide):
            expected = denoiser.denoise(noisy, "mixing", seed=3, guide=one, steps="walk4")
            found = method.denoise(noisy, None, one)
            assert np.array_equal(found.planes, expected)
            assert found.nfe == 4


def test_options_and_seed_and_model_tell_samplers_apart() -> None:
    specs = [("repaint", MODEL), ("repaint,repeats=2", MODEL), ("repaint", Model(engine="analytic", seed=4))]
    specs += [("mixing", MODEL), ("repaint", Model("membranes", "analytic"))]
    identities = {json.dumps(Spec.parse(text).make(model).identity) for text, model in specs}
    assert len(identities) == len(specs)


def test_wrong_options_are_found_before_anything_is_denoised() -> None:
    with pytest.raises(ConfigError, match="no option 'strength'"):
        Spec.parse("repaint,strength=3").make(MODEL)
