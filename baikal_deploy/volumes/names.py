"""Names that metadata has for what belongs to it: images, arrays and files, by paths below its own folder.

Metadata is what somebody wrote, and may name anything. Every name of it that becomes a path goes through
``member``: what it stands for lies below the folder, at home and at any server, and on every file system.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from urllib.parse import unquote

from baikal_deploy.errors import VolumeError
from baikal_deploy.untrusted.text import visible
from baikal_deploy.volumes.urls import Source, Url

LONGEST_PART, LONGEST = 200, 1000
"""Bytes at most of a part, to which a run adds endings of its own, and of a whole name."""
_OWN = re.compile(
    r"zarr\.json|\.z(array|group|attrs|metadata)"  # Zarr's own files
    r"|.*\.(partial|journal|lock)|.*\.replaced-.*"  # what a run puts beside an output
)
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")  # of Windows, in any folder
_FORBIDDEN = '<>:"|?*'
"""What no name on Windows may hold; a colon would even be taken, for a hidden part of another file."""
WINDOWS = os.name == "nt"
_SHOWN = 100


def member(folder: Source, name: object, what: str) -> Source:
    """Place that a name in the metadata of a folder, or of a group, stands for.

    Args:
        folder: the folder or group.
        name: as the metadata has it, text or not.
        what: kind of the thing that is named, for messages, such as "an array".

    Returns:
        A path or URL below the folder.

    Raises:
        VolumeError: a name that could stand for anything else than something below the folder, links
            followed, or that not every file system can have.
    """
    if fault := _fault(name, remote=isinstance(folder, Url)):
        raise _refusal(folder, name, what, fault)
    path = folder / str(name)
    if isinstance(path, Path) and isinstance(folder, Path) and not _lies_below(path, folder):
        raise _refusal(folder, name, what, "leads out of it through a link")
    return path


def require_beside(folder: Path, name: object) -> None:
    """Refuse what metadata says to be another of its files, unless it is a plain name in the same folder.

    The file may be a link to anywhere: whoever gives one file of a set gives them all.

    Args:
        folder: the one that the metadata lies in.
        name: as the metadata has it, text or not.

    Raises:
        VolumeError: any other name, or one of something that is not a file, such as a pipe.
    """
    fault = _fault(name, remote=False)
    if not fault and "/" in str(name):
        fault = "does not lie beside it"
    if not fault and (folder / str(name)).exists() and not (folder / str(name)).is_file():
        fault = "is not a file"
    if fault:
        raise _refusal(folder, name, "a file", fault)


def _refusal(folder: Source, name: object, what: str, fault: str) -> VolumeError:
    return VolumeError(
        f"{folder}: its metadata names {what} {_shown(name)}, which {fault}; correct the metadata, or ask "
        f"who made it"
    )


def members(folder: Source, names: Iterable[object], what: str) -> list[str]:
    """Names in the metadata of a folder, all of which must be different.

    Args:
        folder, what: as for ``member``.
        names: as the metadata has them.

    Raises:
        VolumeError: a name that ``member`` refuses; or two names for one place, or one inside of another.
    """
    taken, checked = Taken(), []
    for name in names:
        member(folder, name, what)
        checked.append(str(name))
        taken.add(folder, str(name), what)
    return checked


class Taken:
    """Names of one folder so far, no two of which may stand for one place."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._above: set[str] = set()

    def add(self, folder: Source, name: str, what: str) -> None:
        """Take another name.

        Args:
            folder, what: as for ``member``.
            name: one that ``member`` accepts.

        Raises:
            VolumeError: some file system takes it for another name, or one lies in the other.
        """
        own = folded(name)
        above = set(accumulate(own.split("/")[:-1], lambda upper, part: f"{upper}/{part}"))
        if own in self._names or own in self._above or not above.isdisjoint(self._names):
            raise VolumeError(
                f"{folder}: its metadata names {what} {_shown(name)}, and another one at, above or below the "
                f"same place (small and capital letters are one); correct the metadata"
            )
        self._names.add(own)
        self._above |= above


def folded(name: str) -> str:
    """Name as the file systems see it that ignore case, or how letters are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _fault(name: object, *, remote: bool) -> str:
    """Fault of a name, in words; empty if it is a plain path below a folder."""
    if not isinstance(name, str):
        return "is not text"
    if visible(name) != name:
        return "holds control characters"
    if len(name.encode()) > LONGEST or any(len(part.encode()) > LONGEST_PART for part in name.split("/")):
        return "is too long"
    if "\\" in name or re.match("[A-Za-z]:", name):
        return "holds a backslash or a drive"
    if remote and (set(name) & set("?#") or unquote(name) != name):
        return "is not a plain part of a URL"
    return next(filter(None, map(_fault_of_part, name.split("/"))), "")


def _fault_of_part(part: str) -> str:
    if not part.strip():
        return "is empty, absolute, or has an empty part"
    if part[-1] in ". ":  # "." and ".." among them; Windows leaves these characters out
        return "has a part that is '.' or '..', or ends in a dot or space"
    if _OWN.fullmatch(part.casefold()) or _DEVICE.fullmatch(part.casefold()):
        return "is reserved"
    return fault_on_windows(part) if WINDOWS else ""


def fault_on_windows(name: str) -> str:
    """Reason why no file on Windows can have a name, in words; empty if one can.

    Args:
        name: of a file or folder, without those above it.
    """
    if name[-1:] in (".", " "):
        return "ends in a dot or a space, which Windows leaves out"
    if _DEVICE.fullmatch(name.casefold()):
        return "is the name of a device on Windows"
    if found := [one for one in name if one in _FORBIDDEN or one < " "]:
        return f"holds {' '.join(map(_shown, dict.fromkeys(found)))}, which no name on Windows may"
    return ""


def _lies_below(path: Path, folder: Path) -> bool:
    try:
        return folder.resolve() in path.resolve().parents
    except (OSError, RuntimeError):  # links in a circle
        return False


def _shown(name: object) -> str:
    text = visible(repr(name))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
