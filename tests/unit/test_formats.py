"""Files of other programs, and the table of docs/formats.md that is made from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from baikal_deploy.volumes.inputs import open_input
from tests import formats


def test_the_table_in_the_docs_is_true(shared_data: Path) -> None:
    """The committed table was looked through by a human; what opens otherwise since then shows here."""
    for folder in formats.FOLDERS:
        if not (shared_data / folder).is_dir():
            pytest.skip(f"the sample volumes are not here: {shared_data / folder}")
    assert formats.table().splitlines() == formats.written()[1].splitlines()


@pytest.mark.parametrize(
    ("name", "axes", "shape", "scale", "unit", "channels"),
    [
        ("stacks_3d_t/drosophila_DSmanila1.tif", "zyx", (13, 512, 512), (1.04, 1.04, 1.04), "micrometer", []),
        ("stacks_3d_t/lysosome_1.tif", "tyx", (50, 128, 128), (1, 0.1292, 0.1292), "micrometer", []),
        ("stacks_3d_t/yeast_mito_T6.ome.tif", "tzyx", (6, 17, 192, 279), (1, 1, 1, 1), None, []),
        ("formats/ome_tiff/multi-channel-z-series.ome.tif", "czyx", (3, 5, 167, 439), (1,) * 4, None, []),
        ("nuclei_misc/bbbc022_s1_w1.tif", "yx", (520, 696), (0.645, 0.645), "micrometer", ["DAPI"]),
        (
            "nuclei_misc/bbbc022_A02_s9_3ch.tif", "cyx", (3, 395, 695), (1, 1, 1), None,
            [f"IXMtest_A02_s9_c{number}.tif" for number in (1, 2, 3)],
        ),
    ],
)  # fmt: skip
def test_real_tiff_files(
    shared_data: Path,
    name: str,
    axes: str,
    shape: tuple[int, ...],
    scale: tuple[float, ...],
    unit: str | None,
    channels: list[str],
) -> None:
    """Against what was read from the files' own metadata by hand."""
    path = shared_data / name
    if not path.exists():
        pytest.skip(f"the sample file is not here: {path}")
    volume = open_input(path)
    info = volume.info
    assert "".join(axis.name for axis in info.axes) == axes
    assert info.shape == shape
    assert info.scale == pytest.approx(scale, rel=1e-3)
    assert info.axes[-1].unit == unit
    assert [info.channel_name(channel) for channel in range(len(channels))] == channels
    assert volume.read([0, info.num_planes - 1]).std() > 1
