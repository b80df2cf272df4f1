"""Places inside a store are written with "/", whatever the system's paths look like."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from baikal_deploy.volumes.urls import Url, inside

PLACES = [
    (PureWindowsPath(r"C:\data\plate.zarr"), PureWindowsPath(r"C:\data\plate.zarr\A\1\0")),
    (PureWindowsPath(r"\\server\share\plate.zarr"), PureWindowsPath(r"\\server\share\plate.zarr\A\1\0")),
    (PurePosixPath("/data/plate.zarr"), PurePosixPath("/data/plate.zarr/A/1/0")),
    (Url("s3://data/plate.zarr"), Url("s3://data/plate.zarr/A/1/0")),
]


@pytest.mark.parametrize(("root", "image"), PLACES)
def test_a_place_inside_a_store(root: Any, image: Any) -> None:
    assert inside(image, root) == "A/1/0"


def test_what_is_not_inside_is_refused() -> None:
    outside: Any = PureWindowsPath(r"D:\elsewhere\A")
    with pytest.raises(ValueError, match="is not in the subpath"):
        inside(outside, PureWindowsPath(r"C:\data\plate.zarr"))  # type: ignore[arg-type]
