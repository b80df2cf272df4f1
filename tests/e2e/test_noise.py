"""baikal-noise tells what a camera did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from baikal_deploy.cli.noise import main
from baikal_training.camera import Camera
from baikal_training.simulate import simulate
from tests.e2e.conftest import write_zarr


def noise(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def volume(tmp_path: Path, camera: Camera) -> Path:
    pixels = camera.expose(simulate("nuclei", (1, 2, 256, 256), 5)[0], 1)
    return write_zarr(tmp_path / "in.zarr", pixels)


def test_the_cameras_gain_and_noise(tmp_path: Path) -> None:
    path = volume(tmp_path, Camera(photons=20, gain=40, read_noise=60))
    (channel,) = json.loads(noise(path, "--json", "--stream").output)
    assert channel["noise"]["gain"] == pytest.approx(40, rel=0.1)
    assert channel["gate"]["allowed"]["t"] > 0 < channel["gate"]["coarse"]["t"]
    assert len(channel["gate"]["shares"][0]) == 2
    assert channel["noise"]["correlation"] == 1
    assert {"intensity", "variance", "count"} == set(channel["bins"][0])
    text = noise(path).output
    assert "in bright ones (a photon counts for about" in text
    assert "independent between pixels" in text
    assert "█" in text


def test_correlated_noise(tmp_path: Path) -> None:
    path = volume(tmp_path, Camera(photons=20, gain=40, read_noise=60, correlated=0.6))
    (channel,) = json.loads(noise(path, "--json").output)
    # The finest detail holds 0.6 of the variance of such noise.
    assert channel["noise"]["correlation"] == pytest.approx(1 / np.sqrt(0.6), rel=0.05)
    assert "correlated between pixels" in noise(path).output


@pytest.mark.parametrize("pixels", [np.zeros((2, 32, 32), np.uint8), np.full((1, 1), 3.0, np.float32)])
def test_no_noise(tmp_path: Path, pixels: np.ndarray) -> None:
    result = noise(write_zarr(tmp_path / "flat.zarr", pixels))
    assert (result.exit_code, result.output) == (0, "channel 0: no noise was found\n")


def test_bad_input(tmp_path: Path) -> None:
    assert "give --json as well" in noise(tmp_path / "none.zarr", "--stream").stderr
    result = noise(tmp_path / "none.zarr")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr


def test_structure_is_told(tmp_path: Path) -> None:
    camera = Camera(photons=60, gain=40, read_noise=60)
    nuclei = volume(tmp_path, camera)
    (channel,) = json.loads(noise(nuclei, "--json").output)
    assert channel["structure"]["verdict"] == "known"
    assert sum(channel["structure"]["seen"]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert "looks like nuclei, which model general knows" in noise(nuclei).output
    junctions = write_zarr(
        tmp_path / "junctions.zarr", camera.expose(simulate("flywing", (1, 1, 256, 256), 5)[0], 1)
    )
    text = noise(junctions, "--model", "nuclei").output
    assert (
        "note: looks like membranes or outlines of cells, which model nuclei has not seen: try --model"
        in text
    )
    assert "has not seen" not in noise(junctions).output
