"""Files of other programs, and the table of tests/formats.md that is made from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from baikal_deploy.volumes.open import open_input
from tests import formats


def test_the_table_in_the_docs_is_true(shared_data: Path) -> None:
    """The committed table was looked through by a human; what opens otherwise since then shows here."""
    for folder in formats.FOLDERS:
        if not (shared_data / folder).is_dir():
            pytest.skip(f"the sample volumes are not here: {shared_data / folder}")
    assert formats.table().splitlines() == formats.written()[1].splitlines()


MICROSCOPES = [
    (
        "formats/czi/xyz__multiple_images.czi", 1, "zyx", (2, 251, 251), (0.3, 0.195644, 0.195644),
        "micrometer", ["ChA"],
    ),
    (
        "membranes/TJ_07.czi", None, "cyx", (2, 1291, 1291), (1, 0.0785536, 0.0785536), "micrometer",
        ["AF647-T1", "Rhoda-T2"],
    ),
    (
        "formats/nd2/example-cerevisiae.nd2", None, "cyx", (2, 256, 256), (1, 0.108333, 0.108333),
        "micrometer", ["DIC", "FITC BP"],
    ),
    ("formats/ndtiff/v2/ndtiffv2.0_stitched_test", 1, "yx", (32, 32), (1, 1), "micrometer", []),
    (
        "formats/ndtiff/v3/12_bit_pycromanager_mda", None, "tcyx", (4, 2, 64, 64), (1, 1, 1, 1), "micrometer",
        ["DAPI", "FITC"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "series", "axes", "shape", "scale", "unit", "channels"),
    [
        *MICROSCOPES,
        ("stacks_3d_t/drosophila_DSmanila1.tif", None, "zyx", (13, 512, 512), (1.04,) * 3, "micrometer", []),
        ("stacks_3d_t/lysosome_1.tif", None, "tyx", (50, 128, 128), (1, 0.1292, 0.1292), "micrometer", []),
        ("stacks_3d_t/yeast_mito_T6.ome.tif", None, "tzyx", (6, 17, 192, 279), (1, 1, 1, 1), None, []),
        (
            "formats/ome_tiff/multi-channel-z-series.ome.tif", None, "czyx",
            (3, 5, 167, 439), (1,) * 4, None, [],
        ),
        ("nuclei_misc/bbbc022_s1_w1.tif", None, "yx", (520, 696), (0.645, 0.645), "micrometer", ["DAPI"]),
        (
            "nuclei_misc/bbbc022_A02_s9_3ch.tif", None, "cyx", (3, 395, 695), (1, 1, 1), None,
            [f"IXMtest_A02_s9_c{number}.tif" for number in (1, 2, 3)],
        ),
    ],
)  # fmt: skip
def test_real_files(
    shared_data: Path,
    name: str,
    series: int | None,
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
    volume = open_input(path, series)
    info = volume.info
    assert "".join(axis.name for axis in info.axes) == axes
    assert info.shape == shape
    assert info.scale == pytest.approx(scale, rel=1e-3)
    assert info.axes[-1].unit == unit
    assert [info.channel_name(channel) for channel in range(len(channels))] == channels
    assert volume.read([0, info.num_planes - 1]).std() > 1
