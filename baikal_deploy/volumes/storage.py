"""What a user chooses of how the pixels of an output are stored: nothing of it changes their values."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from baikal_deploy.errors import ConfigError

Ngff = Literal["0.4", "0.5"]
LEVELS = {"zlib": (1, 9, 6), "zstd": (1, 22, 3), "blosc": (1, 9, 5)}
"""Least and largest level of each codec, and the one that is taken where none is named."""
SIDES = (32, 8192)
"""Least and largest side of a chunk, in pixels."""
_CODEC = re.compile(r"([a-z]+)(?::(\d+))?")


@dataclass(frozen=True)
class Codec:
    """A codec, and how hard it tries.

    Attributes:
        name: "none", or one of ``LEVELS``.
        level: 0 for "none".
    """

    name: str
    level: int

    @classmethod
    def of(cls, text: str) -> Codec:
        """The codec of a text such as "zstd" or "zlib:9".

        Raises:
            ConfigError: no such codec, or a level that it does not have.
        """
        found = _CODEC.fullmatch(text)
        if text == "none":
            return cls(text, 0)
        if found is None or found[1] not in LEVELS:
            raise ConfigError(
                f"--codec {text}: choose none, {', '.join(LEVELS)}, or one with a level (zstd:9)"
            )
        least, most, usual = LEVELS[found[1]]
        level = usual if found[2] is None else int(found[2])
        if not least <= level <= most:
            raise ConfigError(f"--codec {text}: levels of {found[1]} are {least} to {most}")
        return cls(found[1], level)


@dataclass(frozen=True)
class Storage:
    """The way in which an output is stored. Checked when made.

    Attributes:
        ngff: version of OME-Zarr: 0.5 is in Zarr 3, and 0.4 in Zarr 2, which has no shards.
        codec: that compresses, such as "zstd:3"; None: the format's own choice.
        chunk: largest side of a chunk of OME-Zarr, in pixels, a power of two; None: up to 1024.
        sharded: whether the chunks of an item lie in one file of OME-Zarr 0.5.

    Raises:
        ConfigError: a value that is none of these.
    """

    ngff: Ngff = "0.5"
    codec: str | None = None
    chunk: int | None = None
    sharded: bool = True

    def __post_init__(self) -> None:
        if self.ngff not in get_args(Ngff):
            raise ConfigError(f"--ngff {self.ngff}: choose one of {', '.join(get_args(Ngff))}")
        if self.codec is not None:
            Codec.of(self.codec)
        least, most = SIDES
        if self.chunk is not None and not (least <= self.chunk <= most and self.chunk.bit_count() == 1):
            raise ConfigError(
                f"--chunk {self.chunk}: must be a power of two from {least} to {most}, in pixels"
            )

    def record(self) -> dict[str, Any]:
        """What differs from the usual, by name."""
        return {name: value for name, value in asdict(self).items() if value != getattr(USUAL, name)}

    def packing(self, usual: str) -> Codec:
        """The codec.

        Args:
            usual: the one of a format where none was chosen.
        """
        return Codec.of(self.codec or usual)


USUAL = Storage()
