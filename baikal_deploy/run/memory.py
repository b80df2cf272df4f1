"""The memory that a run takes, and the layout that keeps it within a limit.

What a run holds is counted in bytes per pixel, which benchmarks/memory.py --model measures.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

from baikal_deploy.denoising.regions import largest_crop, most_windows
from baikal_deploy.denoising.windows import TilePlan
from baikal_deploy.errors import ConfigError
from baikal_deploy.volumes.base import VolumeInfo
from baikal_deploy.volumes.layout import Layout, layouts

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {f"{unit}I": 2 ** (10 * power) for power, unit in enumerate("KMGT", start=1)}
SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?I?)B?", re.IGNORECASE)
PERCENT = re.compile(r"(\d+(?:\.\d*)?)\s*%")
DEFAULT_SHARE = 0.5
STEP = 2**25
"""Bytes to whose multiples what the process holds by itself is rounded up: it is never quite the same."""

# Bytes, as measured.
PLANNING = 96 * 10**6
"""Bytes for measuring a channel (see ``sample.SAMPLE_PIXELS``)."""
SLACK = 64 * 10**6
"""Bytes of the libraries' own, and of memory that was freed and not given back."""
PER_PIXEL = 72
"""Bytes for a pixel on its way through the sampler."""
PER_PIXEL_STD = 40
"""Bytes beside that for a pixel whose standard deviation is asked for."""
COPIES_READ, COPIES_WRITTEN, COPIES_MAPS = 2, 6, 4
"""Copies of an item's pixels: read ahead and in work; the result in work, that being written, and parts of it
in the pyramid, in shards, and compressed."""
CHUNKS = 2
"""Copies of a chunk: the chunk, and what it is decoded from."""


def memory_limit(size: str | int | None, free: int | None) -> int | None:
    """Bytes of a size such as "1GB", "500 MB", "1.5GiB", or "25%" of what is free.

    Args:
        size: None: half of what is free, or None where that is unknown.
        free: bytes; None: unknown.

    Raises:
        ConfigError: no such size, or a share of what is unknown.
    """
    if size is None:
        return None if free is None else int(free * DEFAULT_SHARE)
    text = str(size).strip()
    if (share := PERCENT.fullmatch(text)) and 0 < float(share[1]) <= 100:
        if free is None:
            raise ConfigError(f"memory {text}: how much is free is unknown here; give a size, such as 4GB")
        return int(free * float(share[1]) / 100)
    found = SIZE.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise ConfigError(f"memory {text}: write a size such as 1GB, 500MB or 25% (of what is free)")
    return int(float(found[1]) * UNITS[found[2].upper()])


def format_size(size: int) -> str:
    """Size for people, rounded up: "850 MB", "1.3 GB".

    Args:
        size: in bytes.
    """
    if size < 10**9:
        return f"{ceil(size / 10**6)} MB"
    return f"{ceil(size / 10**8) / 10:g} GB"


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

    def needed(self, layout: Layout) -> int:
        """Peak of the process' memory, in bytes.

        Args:
            layout: of the output.
        """
        written = read = prod(self.info.plane_shape)
        if layout.edge is not None:
            written = prod(min(layout.edge, side) for side in self.info.plane_shape)
            read = max(largest_crop(plan, layout.edge, self.halo) for plan in self.plans)
        size = self.info.dtype.itemsize
        held = COPIES_READ * read * self.itemsize * (2 if self.guided else 1)
        held += written * (COPIES_WRITTEN * size + COPIES_MAPS * self.map_bytes)
        per_pixel = PER_PIXEL + (PER_PIXEL_STD if self.wants_std else 0)
        network = self.planes_together(layout) * read * per_pixel
        run = layout.planes * held + network + self.chunk_bytes
        return -(-self.base // STEP) * STEP + max(PLANNING, run + SLACK)

    def planes_together(self, layout: Layout) -> int:
        """Planes, or regions of them, that are walked together; see ``TiledPredictor.fitted``.

        Args:
            layout: of the output.
        """
        windows = min(most_windows(plan, layout.edge) for plan in self.plans)
        return min(max(1, self.batch // windows), layout.planes)

    @property
    def chunk_bytes(self) -> int:
        """Bytes for decoding a chunk of the input, which cannot be done in parts."""
        return CHUNKS * prod(self.info.chunk or (0,)) * self.itemsize

    def choose(self, limit: int | None) -> Layout:
        """The largest layout that stays within a limit; the default one without a limit.

        Args:
            limit: in bytes; None: there is none.

        Raises:
            ConfigError: no layout stays within the limit.
        """
        choices = list(layouts(self.info))
        for layout in choices:
            if limit is None or self.needed(layout) <= limit:
                return layout
        raise ConfigError(f"memory {format_size(limit or 0)}: is too little; {self._least(choices[-1])}")

    def check(self, layout: Layout, limit: int | None) -> None:
        """Raise ConfigError if the layout of an unfinished run does not stay within a limit.

        Args:
            layout: of the unfinished run.
            limit: in bytes; None: there is none.
        """
        if limit is not None and self.needed(layout) > limit:
            raise ConfigError(
                f"memory {format_size(limit)}: is too little to continue the unfinished run, whose shards "
                f"need {format_size(self.needed(layout))}; give at least that (--memory), or start anew "
                "(--overwrite)"
            )

    def _least(self, smallest: Layout) -> str:
        least = f"the least that works here is {format_size(self.needed(smallest))} (--memory)"
        if self.chunk_bytes > SLACK:
            least += (
                f", {format_size(self.chunk_bytes)} of it to decode one chunk of the input, "
                f"{'x'.join(map(str, self.info.chunk or ()))} pixels: store it with smaller ones to need less"
            )
        return least
