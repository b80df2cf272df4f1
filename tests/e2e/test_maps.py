"""--uncertainty and --mask: images like the result, calibrated on simulated volumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from baikal_deploy import Denoiser
from baikal_deploy.denoising.trust import Maps
from baikal_training.camera import Camera
from baikal_training.simulate import simulate
from tests.e2e.conftest import BaikalRun
from tests.e2e.test_run import group_attributes, level0


def test_maps_are_images_like_the_result(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    std, mask = tmp_path / "std.zarr", tmp_path / "mask.zarr"
    result = baikal_run(noisy_zarr, tmp_path / "out.zarr", "--uncertainty", std, "--mask", mask)
    assert result.exit_code == 0, result.output
    shape = level0(tmp_path / "out.zarr").shape
    for path, dtype in ((std, np.float32), (mask, np.uint8)):
        assert (level0(path).shape, level0(path).dtype) == (shape, dtype)
        attributes = group_attributes(path)
        assert attributes["baikal"]["complete"] is True
        assert str(tmp_path / "out.zarr") in attributes["baikal"]["content"]
        assert attributes["ome"]["multiscales"] is not None
    assert (level0(std) > 0).all()
    assert set(np.unique(level0(mask))) <= {0, 1}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--sampler", "posterior", "--uncertainty", "std.zarr"], "runs=2 or more"),
        (["--uncertainty", "nowhere/std.zarr"], "folder does not exist"),
        (["--uncertainty", "same.zarr", "--mask", "same.zarr"], "two outputs of one name"),
    ],
)
def test_refused_maps(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path, arguments: list[str], word: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = baikal_run(noisy_zarr, tmp_path / "out.zarr", *arguments)
    assert result.exit_code == 2
    assert word in result.stderr
    assert not (tmp_path / "out.zarr").exists()


def test_the_spread_of_several_draws(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    std = tmp_path / "std.zarr"
    draws = ["--sampler", "posterior", "-o", "runs=3"]
    result = baikal_run(noisy_zarr, tmp_path / "out.zarr", *draws, "--uncertainty", std)
    assert result.exit_code == 0, result.output
    assert (level0(std) > 0).all()
    # The planes are those of the same run without the map, which only looks at what is drawn anyway.
    baikal_run(noisy_zarr, tmp_path / "plain.zarr", *draws)
    np.testing.assert_array_equal(level0(tmp_path / "out.zarr"), level0(tmp_path / "plain.zarr"))


@pytest.mark.parametrize(("model", "specimen"), [("tribolium", "tribolium"), ("membranes", "flywing")])
def test_the_spread_is_calibrated(model: str, specimen: str) -> None:
    """Predicted against actual in ten bins, and the share of pixels within the 50 and 90 % bands."""
    clean = simulate(specimen, (1, 1, 256, 256), 100)[0, 0]
    camera = Camera.at_psnr(clean, 12)
    noisy, true = camera.expose(clean, 5), camera.expected(clean).astype(np.float64)
    maps = Maps.of((1, *noisy.shape), std=True, suspect=True)
    with Denoiser.load(model) as denoiser:
        error = denoiser.denoise(noisy.astype(np.float32), "matched", maps=maps) - true
    assert maps.std is not None
    assert maps.suspect is not None
    std = maps.std[0]
    bins = np.array_split(np.argsort(std, axis=None), 10)
    ratios = [
        float(np.sqrt(np.square(std.ravel()[b]).mean() / np.square(error.ravel()[b]).mean())) for b in bins
    ]
    within = [float((np.abs(error) < z * std).mean()) for z in (0.674, 1.645)]
    print(model, [f"{ratio:.2f}" for ratio in ratios], within)
    assert np.median(ratios) == pytest.approx(1, abs=0.15)
    assert all(0.72 < ratio < 1.35 for ratio in ratios)  # the darkest tenths are farthest off
    assert within == [pytest.approx(0.5, abs=0.09), pytest.approx(0.9, abs=0.05)]  # 0.58 and 0.92 at most
    assert maps.suspect.mean() < 1e-3


def test_a_result_that_contradicts_the_data_is_noted(tmp_path: Path, baikal_run: BaikalRun) -> None:
    """Forward-Backward from far too high a start invents a plane of its own."""
    clean = simulate("nuclei", (1, 1, 128, 128), 3)[0, 0]
    source, mask = tmp_path / "in.zarr", tmp_path / "mask.zarr"
    zarr.create_array(source, data=Camera.at_psnr(clean, 20).expose(clean, 1)[None])
    invent = ["--sampler", "forward-backward", "-o", "start=900"]
    result = baikal_run(source, tmp_path / "out.zarr", "--engine", "onnx-cpu", *invent, "--mask", mask)
    assert "something was removed or invented" in result.stderr
    assert level0(mask).mean() > 0.01
    result = baikal_run(source, tmp_path / "again.zarr", "--engine", "onnx-cpu")
    assert "invented" not in result.stderr


def test_draws_are_outputs_of_their_own(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    posterior = ["--sampler", "posterior"]
    result = baikal_run(noisy_zarr, tmp_path / "out.ome.zarr", *posterior, "--draws", 3, "--seed", 7)
    assert result.exit_code == 0, result.output
    outputs = [tmp_path / f"out_draw{number}.ome.zarr" for number in (1, 2, 3)]
    assert result.stdout.split() == [str(path) for path in outputs]
    baikal_run(noisy_zarr, tmp_path / "eight.ome.zarr", *posterior, "--seed", 8)
    np.testing.assert_array_equal(level0(outputs[1]), level0(tmp_path / "eight.ome.zarr"))
    assert (level0(outputs[0])[...] != level0(outputs[1])[...]).any()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--draws", "0", "--sampler", "posterior"], "must be at least 1"),
        (["--draws", "2"], "sampler auto draws nothing; add --sampler posterior"),
        (["--draws", "1", "--sampler", "posterior", "--uncertainty", "std.zarr"], "-o runs=2"),
        (["--draws", "2", "--sampler", "none"], "sampler 'none'"),
    ],
)
def test_refused_draws(baikal_run: BaikalRun, noisy_zarr: Path, arguments: list[str], word: str) -> None:
    result = baikal_run(noisy_zarr, *arguments)
    assert result.exit_code == 2
    assert word in result.stderr
