"""Runs over layers and what is made of their results, without a window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image

from baikal_deploy import denoise
from baikal_deploy.errors import VolumeError
from baikal_napari.layers import LayerVolume
from baikal_napari.results import Source
from baikal_napari.running import Settings, configured, execute
from tests.plugin.conftest import noisy


def run(layer: Image, axes: str, output: Path, channel: int | None = None) -> Source:
    volume = LayerVolume.of(layer, axes, lambda: None)
    config = configured(volume, Settings("nuclei", "preview", channel, output))
    execute(volume, config, lambda: None, lambda done, total: None)
    return Source.of(layer, volume.order)


def test_one_channel_of_axes_in_another_order(tmp_path: Path) -> None:
    pixels = noisy((2, 32, 48))
    layer = Image(pixels.transpose(1, 2, 0), name="two")
    result = run(layer, "yxc", tmp_path / "clean.ome.zarr", channel=1).result(tmp_path / "clean.ome.zarr")
    found = np.asarray(result.data)
    assert np.array_equal(found[..., 0], pixels[0])  # copied
    assert np.array_equal(found[..., 1], denoise(pixels, "cyx", model="nuclei", budget="preview")[1])


def test_another_array_does_not_continue_a_run(tmp_path: Path) -> None:
    output = tmp_path / "clean.ome.zarr"
    run(Image(noisy((32, 32)), name="cells"), "yx", output)
    with pytest.raises(VolumeError, match=r"clean\.ome\.zarr"):
        run(Image(noisy((32, 32)), name="cells"), "yx", output)


def test_a_result_lies_where_a_turned_layer_does(tmp_path: Path) -> None:
    layer = Image(noisy((40, 32)), name="cells", scale=(0.5, 0.5), rotate=30, translate=(5, 6))
    output = tmp_path / "clean.ome.zarr"
    source = run(layer, "yx", output)
    result, preview = source.result(output), source.preview(np.zeros((4, 4)), (8, 16), layer)
    assert np.allclose(result.data_to_world((3, 7)), layer.data_to_world((3, 7)))
    assert np.allclose(preview.data_to_world((0, 0)), layer.data_to_world((8, 16)))
