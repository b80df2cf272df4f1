"""Layers as volumes: which can be denoised, what their axes are, and what is read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Labels, Points
from napari.layers._source import layer_source

from baikal_deploy.errors import ConfigError, VolumeError
from baikal_napari.layers import LayerVolume, check_axes, check_layer, guess_axes, path_of


def volume(layer: Image, axes: str) -> LayerVolume:
    return LayerVolume.of(layer, axes, lambda: None)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Labels(np.zeros((4, 4), np.uint8), name="cells"), "cells: is a labels layer; choose an image layer"),
        (Points(np.zeros((3, 2)), name="spots"), "spots: is a points layer; choose an image layer"),
        (
            Image(np.zeros((4, 4, 3), np.uint8), rgb=True, name="photo"),
            r"photo: holds colours \(RGB\).*Split RGB",
        ),
        (Image(np.zeros((2,) * 6), name="six"), "six: has 6 axes; 2 to 5"),
    ],
)
def test_layers_of_the_wrong_kind(layer: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_layer(layer)


@pytest.mark.parametrize(
    ("ndim", "more", "axes"),
    [
        (2, {}, "yx"),
        (3, {}, "zyx"),
        (4, {}, "tzyx"),
        (5, {}, "tczyx"),
        (3, {"axis_labels": ("time", "y", "x")}, "tyx"),
        (3, {"axis_labels": ("y", "x", "Channel")}, "yxc"),
        (3, {"axis_labels": ("a", "b", "c")}, "zyx"),
        (3, {"units": ("second", "micrometer", "micrometer")}, "tyx"),
    ],
)
def test_axes_are_guessed(ndim: int, more: dict[str, Any], axes: str) -> None:
    assert guess_axes(Image(np.zeros((4,) * ndim), **more)) == axes


@pytest.mark.parametrize("axes", ["yx", "zzyx", "zyy", "qyx", "tcz"])
def test_axes_that_are_not_the_layers(axes: str) -> None:
    with pytest.raises(ConfigError, match="name each once"):
        check_axes(Image(np.zeros((4, 4, 4)), name="stack"), axes)


def test_what_is_known_of_a_layer_goes_with_it() -> None:
    about: dict[str, Any] = {"scale": (2, 0.5, 0.4), "translate": (0, 10, 20), "colormap": "green"}
    layer = Image(
        np.zeros((3, 8, 9)), name="GFP", contrast_limits=(5, 50), units=("second", "um", "um"), **about
    )
    info = volume(layer, "tyx").info
    assert [(axis.name, axis.unit) for axis in info.axes] == [
        ("t", "second"),
        ("y", "micrometer"),
        ("x", "micrometer"),
    ]
    assert (info.scale, info.translation, info.shape) == ((2, 0.5, 0.4), (0, 10, 20), (3, 8, 9))
    assert info.omero is not None
    (channel,) = info.omero["channels"]
    assert (channel["label"], channel["color"]) == ("GFP", "00FF00")
    assert (channel["window"]["start"], channel["window"]["end"]) == (5, 50)


def test_planes_of_axes_in_any_order() -> None:
    pixels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    found = volume(Image(pixels), "xtyc")  # c and z are swapped for t and y, which is no order of NGFF
    assert found.info.shape == (3, 5, 4, 2)
    planes = found.read(range(15))
    assert np.array_equal(planes, pixels.transpose(1, 3, 2, 0).reshape(15, 4, 2))
    assert np.array_equal(found.read_window(7, slice(1, 3), slice(0, 1)), planes[7, 1:3, :1])


def test_of_several_levels_the_finest_is_read_plane_by_plane() -> None:
    seen = []

    def block(block_info: Any = None) -> np.ndarray:
        place = block_info[None]["array-location"]
        seen.append(place[0])
        return np.full([stop - start for start, stop in place], place[0][0], np.uint16)

    fine = da.map_blocks(
        block, chunks=((1,) * 6, (16,), (16,)), dtype=np.uint16, meta=np.zeros((0, 0, 0), np.uint16)
    )
    layer = Image([fine, fine[:, ::2, ::2]], multiscale=True, contrast_limits=(0, 9))
    seen.clear()
    found = volume(layer, "zyx")
    assert (found.info.shape, found.info.chunk) == ((6, 16, 16), (1, 16, 16))
    assert not seen
    assert found.read([4]).tolist() == np.full((1, 16, 16), 4).tolist()
    assert seen == [(4, 5)]


def test_pixels_that_cannot_be_read() -> None:
    def broken(block: np.ndarray) -> np.ndarray:
        raise OSError("the disk is gone")

    array = da.zeros((3, 8, 8), chunks=(1, 8, 8)).map_blocks(broken, meta=np.zeros((0, 0, 0)))
    layer = Image(np.zeros((3, 8, 8)), name="stack")
    found = LayerVolume(volume(layer, "zyx").info, array, (0, 1, 2), "", lambda: None)
    with pytest.raises(VolumeError, match=r"stack: z=1 cannot be read \(the disk is gone\)"):
        found.read([1])


def test_arrays_are_told_apart() -> None:
    layer = Image(np.zeros((4, 4)))
    first = volume(layer, "yx").mark
    assert volume(layer, "yx").mark == first != volume(Image(layer.data), "yx").mark
    layer.data = np.ones((4, 4))
    assert volume(layer, "yx").mark != first


@pytest.mark.parametrize(
    ("opened", "found"),
    [("a/b.tif", "a/b.tif"), ("a/b.ome.zarr/0", "a/b.ome.zarr"), ("s3://bucket/b.zarr", None), (None, None)],
)
def test_the_file_of_a_layer(opened: str | None, found: str | None) -> None:
    with layer_source(path=opened):
        layer = Image(np.zeros((4, 4)))
    assert path_of(layer) == (None if found is None else Path(found))
