"""The last step of a TIFF that is compressed, or has smaller versions of its planes.

While a run lasts, every plane has its place in a file that is not compressed, so that a finished one can be
kept after a kill. The final file is made of that one at the end, and made anew if a kill ends that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from baikal_deploy.host.durable import sync_file
from baikal_deploy.host.moves import move, remove_file
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.storage import Codec
from baikal_deploy.volumes.tiff.resolution import resolution_options
from baikal_deploy.volumes.tiff.subresolutions import TILE, levels_of, tiles_of

LARGEST_CLASSIC = 2**32 - 2**25
"""Bytes of a file above which places in it need 64 bits, as BigTIFF has them; as tifffile has it."""


@dataclass(frozen=True)
class Packing:
    """How a file is packed at the end.

    Attributes:
        codec: that compresses it.
        run: id of the run, which the name of what grows meanwhile holds.
    """

    codec: Codec
    run: str

    def needed(self, info: VolumeInfo) -> bool:
        """True if the final file is another than the one that was laid out.

        Args:
            info: the image.
        """
        return self.codec.name != "none" or len(levels_of(info.plane_shape)) > 1

    def pack(self, info: VolumeInfo, location: Path, offset: int, target: Path, options: Any) -> None:
        """Write the final file and put it in its place; remove the one that it was made of.

        Args:
            info: the image.
            location: file with a place for each plane, in its order.
            offset: of the first pixel in it, in bytes.
            target: path of the final file.
            options: for tifffile, with all metadata.

        Raises:
            OSError: a full disk and the like.
        """
        pixels: Any = np.memmap(location, info.dtype, "r", offset, (info.num_planes, *info.plane_shape))
        packed = location.with_name(f"{location.name}.{self.run}")
        with tifffile.TiffWriter(packed, bigtiff=pixels.nbytes > LARGEST_CLASSIC, ome=True) as file:
            self._write(file, info, pixels, options)
        sync_file(packed, packed.parent)
        move(packed, target)
        sync_file(target, target.parent)
        del pixels
        remove_file(location)

    def _write(self, file: tifffile.TiffWriter, info: VolumeInfo, pixels: Raw, options: Any) -> None:
        levels = levels_of(info.plane_shape)
        own = {key: value for key, value in options.items() if key != "ome"}
        for number, level in enumerate(levels):
            if number:
                own = {"subfiletype": 1, "metadata": None, "photometric": own["photometric"]}
            elif len(levels) > 1:
                own["subifds"] = len(levels) - 1
            resolution = resolution_options(info, level.factors)
            file.write(
                self._pieces(pixels, number),
                shape=(*info.shape[:-2], *level.plane_shape),
                dtype=info.dtype,
                **(own | resolution | self._compression(info)),
            )

    def _pieces(self, pixels: Raw, level: int) -> Iterator[Raw]:
        """Pages, or the tiles of pages of which there are smaller versions."""
        levels = levels_of((pixels.shape[1], pixels.shape[2]))
        if len(levels) == 1:
            yield from pixels
            return
        for plane in pixels:
            yield from tiles_of(plane, levels, level)

    def _compression(self, info: VolumeInfo) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if len(levels_of(info.plane_shape)) > 1:
            found["tile"] = (TILE, TILE)
        if self.codec.name != "none":
            found |= {"compression": self.codec.name, "compressionargs": {"level": self.codec.level}}
            if info.dtype.kind in "iu":  # neighbours are alike: their differences are small
                found["predictor"] = True
        return found
