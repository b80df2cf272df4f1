"""Channels by number or name."""

from __future__ import annotations

from collections.abc import Sequence

from baikal_deploy.errors import VolumeError
from baikal_deploy.volumes.base import VolumeInfo

MAX_LISTED = 20


def find_channels(
    info: VolumeInfo, wanted: Sequence[str | int], option: str = "--channel"
) -> tuple[int, ...]:
    """Numbers of channels, in the volume's order.

    Args:
        info: the volume.
        wanted: numbers, names, or several of them with commas in between; a name that looks like a number
            comes first.
        option: that names them, for messages.

    Raises:
        VolumeError: there is no such channel, or there are several of that name.
    """
    return tuple(sorted({number for one in wanted for number in _numbers(info, str(one), option)}))


def _numbers(info: VolumeInfo, text: str, option: str) -> list[int]:
    names = [info.channel_name(channel) for channel in range(info.num_channels)]
    if text not in names and "," in text:
        return [number for part in text.split(",") for number in _numbers(info, part.strip(), option)]
    named = [number for number, name in enumerate(names) if name == text]
    if len(named) > 1:
        raise VolumeError(
            f"{info.path}: channel {text}: several channels have this name; give their numbers, "
            f"{', '.join(map(str, named))} ({option})"
        )
    if not named and not (text.isdecimal() and int(text) < len(names)):
        listed = [f"{number}: {name}" for number, name in enumerate(names[:MAX_LISTED])]
        more = [f"and {len(names) - MAX_LISTED} more"] if len(names) > MAX_LISTED else []
        raise VolumeError(
            f"{info.path}: there is no channel {text}; choose among {', '.join(listed + more)} ({option})"
        )
    return named or [int(text)]
