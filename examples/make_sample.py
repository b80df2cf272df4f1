"""Make the noisy sample volume that `make demo` denoises: simulated nuclei, a simulated camera.

python examples/make_sample.py [OUTPUT]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from baikal_deploy.volumes.base import Axis, VolumeInfo
from baikal_deploy.volumes.zarr.format import OmeZarr
from baikal_training.camera import Camera
from baikal_training.simulate import PLANE_SPACING, simulate_nuclei

DEFAULT = Path(__file__).parent / "nuclei.ome.zarr"
SHAPE = (8, 256, 256)
SEED = 0
PIXEL = 0.325
"""Pixel size in micrometres."""


def make_sample(path: Path) -> None:
    """Write the sample volume as OME-Zarr, replacing an older one."""
    counts = Camera().expose(simulate_nuclei(SHAPE, SEED), SEED)
    info = VolumeInfo(
        path=path,
        axes=(Axis("c"), *(Axis(name, "micrometer") for name in "zyx")),
        shape=(1, *SHAPE),
        dtype=np.dtype(np.uint16),
        scale=(1.0, PLANE_SPACING * PIXEL, PIXEL, PIXEL),
        translation=(0.0,) * 4,
        name="simulated nuclei",
        omero={
            "channels": [
                {
                    "label": "nuclei",
                    "color": "00A0FF",
                    "active": True,
                    "window": {"min": 0, "max": 65535, "start": 100, "end": int(np.percentile(counts, 99.9))},
                }
            ]
        },
    )
    output = OmeZarr().create(path, info, overwrite=True)
    for item in output.items:
        output.write(item, counts[item.planes.start : item.planes.stop])
    output.finish({"software": "baikal_training.simulate", "seed": SEED})


if __name__ == "__main__":
    make_sample(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT)
