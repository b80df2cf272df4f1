"""Real images, of other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from baikal_deploy.measurement.intensity import Normalisation
from baikal_training.data import Augmentation, Catalogue, CropDataset, open_clean


def opened(*paths: Path) -> Catalogue:
    return open_clean(paths, Normalisation(), skip_bad=True)


def shapes(catalogue: Catalogue, folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        Path(volume.name).relative_to(folder).as_posix(): volume.planes.shape for volume in catalogue.volumes
    }


def test_formats(shared_data: Path) -> None:
    folder = shared_data / "formats"
    catalogue = opened(folder)
    found = shapes(catalogue, folder)
    assert found["bioformats2raw_mitotic.ome.zarr/0"] == (6, 263, 263)
    assert found["ome_tiff/4D-series.ome.tif"] == (35, 167, 439)
    assert found["ngff_fiji/4d_testing/xyzt/4d_dataset_v4.ome.zarr"] == (64, 64, 64)
    assert found["ndtiff/v3/labeled_positions_1/labeled_positions_NDTiffStack.tif"] == (3, 512, 512)
    assert any("4d_dataset_v5.ome.zarr (the same as" in name for name in catalogue.duplicates)
    assert any("multi-channel-z-series" in text and "3 channels" in text for text in catalogue.skipped)
    assert any("0.6" in text and "newer" in text for text in catalogue.skipped)
    (named,) = open_clean(
        [folder / "ngff_fiji/5d_testing/5d_dataset_v5.ome.zarr"], Normalisation(), "NLStdTomato"
    ).volumes
    assert named.planes.shape == (64, 64, 64)


def test_stacks_and_membranes(shared_data: Path) -> None:
    catalogue = opened(shared_data / "stacks_3d_t", *sorted((shared_data / "membranes").glob("*.tif")))
    assert catalogue.skipped == catalogue.constant == catalogue.duplicates == ()
    found = {Path(volume.name).name: volume for volume in catalogue.volumes}
    assert found["yeast_mito_T6.ome.tif"].planes.shape == (102, 192, 279)
    assert found["calcium_imaging.tif"].planes.shape == (1000, 30, 40)
    assert found["maize_clsm.tif"].planes.shape == (1, 640, 639)
    crops = CropDataset(catalogue.volumes, 64, 0, Augmentation())
    assert all(np.isfinite(crops[i].numpy()).all() for i in range(20))


def test_nuclei(shared_data: Path) -> None:
    catalogue = opened(shared_data / "dsb2018_nuclei")
    assert len(catalogue.volumes) > 400
    assert not catalogue.skipped
    assert {volume.planes.dtype.name for volume in catalogue.volumes} == {"uint8"}
