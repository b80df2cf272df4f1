"""The memory that a run takes, and the layout that keeps it within a limit.

What a run holds is counted in bytes per pixel, which benchmarks/memory.py --model measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from baikal_deploy.denoising.footprint import PER_PIXEL, PER_PIXEL_STD, SLACK
from baikal_deploy.denoising.regions import largest_crop, most_windows
from baikal_deploy.denoising.windows import TilePlan
from baikal_deploy.errors import ConfigError
from baikal_deploy.host.sizes import format_size
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.layout import SHARD_BYTES, Layout, layouts

STEP = 2**25
"""Bytes to whose multiples what the process holds by itself is rounded up: it is never quite the same."""

# Bytes, as measured.
HELD = 512 * 10**6
"""Bytes that the process holds with a shipped model loaded, where the system does not tell how many."""
PLANNING = 96 * 10**6
"""Bytes for measuring a channel (see ``sample.SAMPLE_PIXELS``)."""
COPIES_READ, COPIES_WRITTEN, COPIES_MAPS = 2, 6, 4
"""Copies of an item's pixels: read ahead and in work; the result in work, that being written, and parts of it
in the pyramid, in shards, and compressed."""
CHUNKS = 2
"""Copies of a chunk: the chunk, and what it is decoded from."""


@dataclass(frozen=True)
class MemoryModel:
    """Model of the memory that a run needs.

    Attributes:
        base: bytes that the process holds once everything is loaded and the network was evaluated once.
        info: of the output, with the input's chunks.
        itemsize: bytes of a pixel of the input.
        plans: of the windows of each model's network over its planes.
        halo: see ``Resolved.halo``.
        batch: windows in one call of the network.
        guided: whether a guide is read beside the planes.
        map_bytes: of a pixel in the maps that are written.
        wants_std: whether one of them is that of the standard deviations.
        on_device: bytes that planes may take on the GPU that computes; None where that is no GPU.
        shard_bytes: most bytes of the pixels of a shard.
    """

    base: int
    info: VolumeInfo
    itemsize: int
    plans: Sequence[TilePlan]
    halo: int
    batch: int
    guided: bool
    map_bytes: int
    wants_std: bool
    on_device: int | None = None
    shard_bytes: int = SHARD_BYTES

    def needed(self, layout: Layout) -> int:
        """Peak of the process' memory, in bytes.

        Args:
            layout: of the output.
        """
        written, read = prod(self.info.plane_shape), self._read(layout)
        if layout.edge is not None:
            written = prod(min(layout.edge, side) for side in self.info.plane_shape)
        size = self.info.dtype.itemsize
        held = COPIES_READ * read * self.itemsize * (2 if self.guided else 1)
        held += written * (COPIES_WRITTEN * size + COPIES_MAPS * self.map_bytes)
        run = layout.planes * held + self.walking(layout) + self.chunk_bytes
        return -(-self.base // STEP) * STEP + max(PLANNING, run + SLACK)

    def walking(self, layout: Layout) -> int:
        """Bytes of the pixels that are on their way through the sampler at a time; on a GPU they are there.

        Args:
            layout: of the output.
        """
        per_pixel = PER_PIXEL + (PER_PIXEL_STD if self.wants_std else 0)
        return self.planes_together(layout) * self._read(layout) * per_pixel

    def planes_together(self, layout: Layout) -> int:
        """Planes, or regions of them, that are walked together; see ``TiledPredictor.fitted``.

        Args:
            layout: of the output.
        """
        windows = min(most_windows(plan, layout.edge) for plan in self.plans)
        return min(max(1, self.batch // windows), layout.planes)

    def _read(self, layout: Layout) -> int:
        """Pixels of a plane, or of a region with what is around it."""
        if layout.edge is None:
            return prod(self.info.plane_shape)
        return max(largest_crop(plan, layout.edge, self.halo) for plan in self.plans)

    def _fits_device(self, layout: Layout) -> bool:
        return self.on_device is None or self.walking(layout) <= self.on_device

    @property
    def chunk_bytes(self) -> int:
        """Bytes for decoding a chunk of the input, which cannot be done in parts."""
        return CHUNKS * prod(self.info.chunk or (0,)) * self.itemsize

    def choose(self, limit: int) -> Layout:
        """The largest layout that stays within a limit.

        Args:
            limit: in bytes.

        Raises:
            ConfigError: no layout stays within the limit.
        """
        choices = list(layouts(self.info, self.shard_bytes))
        for layout in choices:
            if self._fits_device(layout) and self.needed(layout) <= limit:
                return layout
        self._check_device(choices[-1])
        raise ConfigError(f"memory {format_size(limit)}: is too little; {self._least(choices[-1])}")

    def check(self, layout: Layout, limit: int) -> None:
        """Raise ConfigError if the layout of an unfinished run does not stay within a limit.

        Args:
            layout: of the unfinished run.
            limit: in bytes.
        """
        if self.needed(layout) > limit:
            raise ConfigError(
                f"memory {format_size(limit)}: is too little to continue the unfinished run, whose shards "
                f"need {format_size(self.needed(layout))}; give at least that (--memory), or start anew "
                "(--overwrite)"
            )

        self._check_device(layout)

    def _check_device(self, layout: Layout) -> None:
        if not self._fits_device(layout):
            raise ConfigError(
                f"the GPU has {format_size(self.on_device or 0)} free for planes, and {self.batch} at a time "
                f"need {format_size(self.walking(layout))}; give a smaller --batch, close other programs on "
                "it, or take --engine onnx-cpu"
            )

    def _least(self, smallest: Layout) -> str:
        least = f"the least that works here is {format_size(self.needed(smallest))} (--memory)"
        if self.chunk_bytes > SLACK:
            least += (
                f", {format_size(self.chunk_bytes)} of it to decode one chunk of the input, "
                f"{'x'.join(map(str, self.info.chunk or ()))} pixels: store it with smaller ones to need less"
            )
        return least
