"""Sizes of memory, as people write and read them."""

from __future__ import annotations

import re
from math import ceil

from baikal_deploy.errors import ConfigError

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
UNITS |= {f"{unit}I": 2 ** (10 * power) for power, unit in enumerate("KMGT", start=1)}
SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([KMGT]?I?)B?", re.IGNORECASE)
PERCENT = re.compile(r"(\d+(?:\.\d*)?)\s*%")
DEFAULT_SHARE = 0.5
"""Part of the memory that is free which a run takes unless it is told."""


def memory_limit(size: str | int | None, free: int | None) -> int:
    """Bytes of a size such as "1GB", "500 MB", "1.5GiB", or "25%" of what is free.

    Args:
        size: None: half of what is free.
        free: bytes; None: unknown.

    Raises:
        ConfigError: no such size, or a share of what is unknown; no run is planned without a limit.
    """
    if size is None:
        if free is None:
            raise ConfigError("how much memory is free is unknown here; say how much to take (--memory 4GB)")
        return int(free * DEFAULT_SHARE)
    text = str(size).strip()
    if (share := PERCENT.fullmatch(text)) and 0 < float(share[1]) <= 100:
        if free is None:
            raise ConfigError(f"memory {text}: how much is free is unknown here; give a size, such as 4GB")
        return int(free * float(share[1]) / 100)
    return size_of("memory", text, " or 25% (of what is free)")


def size_of(what: str, size: object, others: str = "") -> int:
    """Bytes of a size such as "1GB", "500 MB" or "1.5GiB".

    Args:
        what: is of this size, for the message.
        size: as it was given.
        others: forms that it might have as well, for the message.

    Raises:
        ConfigError: no such size.
    """
    text = str(size).strip()
    found = SIZE.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise ConfigError(f"{what} {text}: write a size such as 1GB, 500MB{others}")
    return int(float(found[1]) * UNITS[found[2].upper()])


def format_size(size: int) -> str:
    """Size for people, rounded up: "12 kB", "850 MB", "1.3 GB", "2.5 TB".

    Args:
        size: in bytes.
    """
    for least, unit in ((10**12, "TB"), (10**9, "GB")):
        if size >= least:
            return f"{ceil(10 * size / least) / 10:g} {unit}"
    return f"{ceil(size / 10**6)} MB" if size >= 10**6 else f"{ceil(size / 1000)} kB"
