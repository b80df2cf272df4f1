"""baikal-run on good input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy import Denoiser, Run, RunConfig
from baikal_deploy._version import __version__
from baikal_deploy.models.manifest import find_model
from baikal_deploy.models.onnx_file import file_sha256
from tests.e2e.conftest import BaikalRun, write_zarr
from tests.valid import assert_valid


def level0(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(path / "0", mode="r")[...])


def group_attributes(path: Path) -> dict[str, Any]:
    return json.loads((path / "zarr.json").read_text())["attributes"]


@pytest.mark.parametrize("sampler", ["auto", "forward-backward", "matched", "mixing", "posterior", "repaint"])
def test_the_output_is_an_ome_zarr_beside_the_input(
    baikal_run: BaikalRun, noisy_zarr: Path, counts: np.ndarray, sampler: str
) -> None:
    result = baikal_run(noisy_zarr, "--sampler", sampler)
    assert result.exit_code == 0, result.output
    output = noisy_zarr.with_name("noisy_denoised.ome.zarr")
    assert result.stdout.strip() == str(output)
    assert "the shipped default" in result.stderr
    assert_valid(output)
    denoised = level0(output)
    assert denoised.shape == counts.shape
    assert denoised.dtype == counts.dtype
    assert (denoised != counts).mean() > 0.9
    # Of 10 photons the analytic engine keeps little: its prior is a Gaussian around a quarter of the range.
    assert denoised.mean() == pytest.approx(counts.mean(), rel=0.1)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_shipped_network_brings_the_nuclei_out(
    tmp_path: Path, baikal_run: BaikalRun, zarr_format: int
) -> None:
    from baikal_training.camera import add_noise
    from baikal_training.simulate import simulate_nuclei

    clean = simulate_nuclei((1, 128, 128), seed=9)
    noisy = np.clip(add_noise(clean, 12, seed=9) * 1000 + 2000, 0, 65535).astype(np.uint16)
    path = write_zarr(tmp_path / "noisy.zarr", noisy, zarr_format=zarr_format)
    assert baikal_run(path, "--engine", "onnx-cpu").exit_code == 0
    denoised = (level0(tmp_path / "noisy_denoised.ome.zarr").astype(float) - 2000) / 1000
    mse = np.mean((denoised - clean) ** 2)
    assert -10 * np.log10(mse) > 12 + 8


def test_the_provenance_is_enough_to_do_it_again(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path
) -> None:
    baikal_run(noisy_zarr, "--sampler", "repaint", "-o", "w_start=0.4", "--steps", "walk7", "--seed", 3)
    provenance = group_attributes(tmp_path / "noisy_denoised.ome.zarr")["baikal"]
    assert provenance["complete"] is True
    assert provenance["version"] == __version__
    assert provenance["input"] == str(noisy_zarr)
    assert provenance["model"]["sha256"] == file_sha256(find_model("general"))
    assert (provenance["sampler"], provenance["seed"]) == ("repaint", 3)
    assert provenance["engine"] == {
        "name": "analytic", "version": f"baikal-deploy {__version__}", "device": "CPU", "precision": "fp32"
    }  # fmt: skip
    (channel,) = provenance["channels"]
    options = channel["options"]
    assert options["w_start"] == 0.4
    again = baikal_run(
        noisy_zarr, tmp_path / "again.zarr", "--sampler", "repaint", "--seed", 3,
        *(word for key, value in options.items() if value is not None for word in ("-o", f"{key}={value}")),
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert np.array_equal(level0(tmp_path / "again.zarr"), level0(tmp_path / "noisy_denoised.ome.zarr"))


def test_the_seed_decides(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert (
            baikal_run(
                noisy_zarr, tmp_path / f"{name}.zarr", "--sampler", "repaint", "--seed", seed
            ).exit_code
            == 0
        )
    a, b, c = (level0(tmp_path / f"{name}.zarr") for name in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_neither_tiles_nor_batches_change_the_result(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path
) -> None:
    """Exactly so with the analytic engine, which sees single pixels."""
    baikal_run(noisy_zarr, tmp_path / "whole.zarr")
    result = baikal_run(noisy_zarr, tmp_path / "tiled.zarr", "--tile", 48, "--overlap", 16, "--batch", 2)
    assert result.exit_code == 0, result.output
    difference = level0(tmp_path / "tiled.zarr").astype(int) - level0(tmp_path / "whole.zarr").astype(int)
    assert np.abs(difference).max() <= 1  # one count of rounding


def test_a_dry_run_prints_the_plan_and_writes_nothing(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path
) -> None:
    result = baikal_run(
        noisy_zarr, "--dry-run", "--sampler", "repaint", "--steps", "walk10", "-o", "repeats=3"
    )
    assert result.exit_code == 0
    assert "3 planes; 90 passes" in result.stderr
    assert "repaint, 30 passes a plane" in result.stderr
    assert "kB before compression" in result.stderr
    assert "estimated time" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy.zarr"]


def test_every_channel_has_its_own_intensities(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    path = write_zarr(
        tmp_path / "two.zarr", np.stack([counts, counts * 4 + 1000]), dimension_names=["c", "z", "y", "x"]
    )
    assert baikal_run(path).exit_code == 0
    first, second = group_attributes(tmp_path / "two_denoised.ome.zarr")["baikal"]["channels"]
    for end in ("low", "high"):
        expected = first["measurement"]["intensity"][end] * 4 + 1000
        assert second["measurement"]["intensity"][end] == pytest.approx(expected, rel=0.01)
    assert level0(tmp_path / "two_denoised.ome.zarr")[1].mean() == pytest.approx(
        counts.mean() * 4 + 1000, rel=0.05
    )


def test_overwriting_replaces_the_output(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path) -> None:
    baikal_run(noisy_zarr, "--sampler", "repaint")
    before = level0(tmp_path / "noisy_denoised.ome.zarr")
    assert baikal_run(noisy_zarr, "--sampler", "mixing", "--overwrite").exit_code == 0
    assert not np.array_equal(level0(tmp_path / "noisy_denoised.ome.zarr"), before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noisy.zarr", "noisy_denoised.ome.zarr"]


def test_a_guide_steers_the_result(
    tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path, counts: np.ndarray
) -> None:
    guide = write_zarr(tmp_path / "guide.zarr", np.full_like(counts, counts.max()))
    baikal_run(noisy_zarr, tmp_path / "plain.zarr", "--sampler", "mixing")
    assert (
        baikal_run(noisy_zarr, tmp_path / "guided.zarr", "--sampler", "mixing", "--guide", guide).exit_code
        == 0
    )
    assert level0(tmp_path / "guided.zarr").mean() > level0(tmp_path / "plain.zarr").mean() + 10


def test_the_python_api_does_what_the_command_does(
    tmp_path: Path, noisy_zarr: Path, counts: np.ndarray
) -> None:
    with Run(RunConfig(noisy_zarr, tmp_path / "out.zarr", engine="analytic", seed=4)) as run:
        report = run.execute()
    with Denoiser.load("nuclei", engine="analytic") as denoiser:
        assert np.array_equal(denoiser.denoise(counts, seed=4), level0(report.output))


def test_an_image_inside_a_collection_gets_its_output_beside_the_collection(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    zarr.create_group(tmp_path / "plate.zarr")
    write_zarr(tmp_path / "plate.zarr" / "0", counts)
    result = baikal_run(tmp_path / "plate.zarr" / "0")
    assert result.stdout.strip() == str(tmp_path / "plate_0_denoised.ome.zarr")


def test_paths_are_printed_as_they_are(tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray) -> None:
    """Brackets and colons mean something to rich, and nothing here."""
    (tmp_path / "day [2] :x: é").mkdir()
    path = write_zarr(tmp_path / "day [2] :x: é" / "a b.zarr", counts)
    result = baikal_run(path)
    assert result.exit_code == 0, result.output
    assert f"input     {path}: zyx 3x96x80 uint16\n" in result.stderr
    assert result.stdout.strip() == str(path.with_name("a b_denoised.ome.zarr"))
