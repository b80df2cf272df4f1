"""baikal-run on TIFF files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from baikal_deploy.volumes.base import Axis
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.zarr.format import OmeZarr
from baikal_deploy.volumes.zarr.reader import open_volume
from tests.conftest import MakeInfo
from tests.e2e.conftest import BaikalRun
from tests.unit.volumes.test_tiff import multifile

METADATA = {
    "axes": "ZCYX", "Channel": {"Name": ["DAPI", "GFP"]}, "TimeIncrement": 3, "TimeIncrementUnit": "min",
    "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "PhysicalSizeZ": 0.5,
}  # fmt: skip


def test_the_output_beside_the_input_has_what_the_file_says(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    pixels = np.stack([counts, counts + 7], axis=1)
    tifffile.imwrite(tmp_path / "cells.ome.tif", pixels, photometric="minisblack", metadata=METADATA)
    result = baikal_run(tmp_path / "cells.ome.tif")
    assert result.exit_code == 0, result.output
    assert "cells.ome.tif: tczyx 1x2x3x96x80 uint16" in result.stderr
    output = open_input(tmp_path / "cells_denoised.ome.tif")
    info = output.info
    assert [(axis.name, axis.unit) for axis in info.axes] == [
        ("t", "minute"), ("c", None), *((name, "micrometer") for name in "zyx")
    ]  # fmt: skip
    assert info.scale == (3, 1, 0.5, 0.1, 0.1)
    assert [info.channel_name(channel) for channel in (0, 1)] == ["DAPI", "GFP"]
    denoised = output.read(range(6)).reshape(2, 3, 96, 80)
    assert denoised.dtype == counts.dtype
    for channel in range(2):
        correlation = np.corrcoef(denoised[channel].ravel(), pixels[:, channel].ravel())[0, 1]
        assert correlation > 0.8
        assert denoised[channel].mean() == pytest.approx(pixels[:, channel].mean(), rel=0.1)


def test_a_chosen_series_has_an_output_of_its_own(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    path = tmp_path / "two.TIF"
    with tifffile.TiffWriter(path) as file:
        file.write(counts, photometric="minisblack")
        file.write(counts[0, :64], photometric="minisblack")
    refused = baikal_run(path)
    assert refused.exit_code == 2
    assert "holds 2 series" in refused.stderr
    assert baikal_run(path, "--series", 1).exit_code == 0
    assert open_input(tmp_path / "two_series1_denoised.ome.tif").info.shape == (64, 80)


def test_a_tiff_as_guide(tmp_path: Path, baikal_run: BaikalRun, noisy_zarr: Path, counts: np.ndarray) -> None:
    tifffile.imwrite(tmp_path / "guide.tif", counts, photometric="minisblack")
    result = baikal_run(noisy_zarr, "--guide", tmp_path / "guide.tif", "--sampler", "mixing")
    assert result.exit_code == 0, result.output


def test_tiff_to_tiff_with_maps_and_a_picture(
    tmp_path: Path, baikal_run: BaikalRun, counts: np.ndarray
) -> None:
    tifffile.imwrite(tmp_path / "in.tif", counts, photometric="minisblack")
    output, std, mask = (tmp_path / f"{name}.ome.tif" for name in ("out", "std", "mask"))
    options = ["--uncertainty", std, "--mask", mask, "--preview", tmp_path / "look.png"]
    result = baikal_run(tmp_path / "in.tif", output, *options)
    assert result.exit_code == 0, result.output
    assert "uncompressed" in result.stderr
    assert [tifffile.imread(path).dtype for path in (output, std, mask)] == ["uint16", "float32", "uint8"]
    assert baikal_run(tmp_path / "in.tif", tmp_path / "same.ome.zarr").exit_code == 0
    expected = open_volume(tmp_path / "same.ome.zarr").read(range(3))
    np.testing.assert_array_equal(tifffile.imread(output), expected)
    assert (tmp_path / "look.png").exists()


def test_no_file_of_the_input_is_overwritten(tmp_path: Path, baikal_run: BaikalRun) -> None:
    first, second = multifile(tmp_path)
    before = second.read_bytes()
    for output, words in ((first, "is the input"), (second, "if it is another input")):
        result = baikal_run(first, output, "--overwrite")
        assert result.exit_code == 2
        assert words in result.stderr
    assert second.read_bytes() == before


@pytest.mark.parametrize("option", [None, "--mask"])
def test_what_ome_tiff_cannot_hold_is_refused_at_once(
    tmp_path: Path, baikal_run: BaikalRun, make_info: MakeInfo, option: str | None
) -> None:
    """A unit that it has no name for, that is; neither output is begun."""
    info = replace(make_info("zyx", (1, 96, 80)), axes=(Axis("z", "parsec"), Axis("y"), Axis("x")))
    output = OmeZarr().create(tmp_path / "in.zarr", info)
    output.write(output.items[0], np.arange(96 * 80, dtype="u2").reshape(1, 96, 80))
    output.finish({})
    outputs = (
        [tmp_path / "out.tif"] if option is None else [tmp_path / "out.zarr", option, tmp_path / "m.tif"]
    )
    for more in ([], ["--dry-run"]):
        result = baikal_run(tmp_path / "in.zarr", *outputs, *more)
        assert result.exit_code == 2
        assert "no name for the unit 'parsec'" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.zarr"]
