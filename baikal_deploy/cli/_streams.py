"""Standard output and error that may be closed, full, or read by nobody: not a reason for a run to end."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from baikal_deploy.errors import VolumeError

SPELLED = "baikal_deploy.spelled"
"""Error handler that spells out what a stream's encoding lacks, as those of Windows' consoles do."""
SPELLINGS = {"−": "-", "…": "...", "×": "x", "µ": "u", "·": "*", "²": "^2", "≥": ">=", "≤": "<=", "→": "->"}
SHADES = {"░": ".", "▒": "+", "▓": "*"}
BLOCKS = "▏▎▍▌▋▊▉█"
"""What bars are drawn with, from an eighth of a column to a whole one."""


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bars = {block: "#" if i >= len(BLOCKS) // 2 else " " for i, block in enumerate(BLOCKS)}
    lacking = error.object[error.start : error.end]
    plain = SPELLINGS | SHADES | bars
    text = "".join(plain.get(one) or one.encode("ascii", "backslashreplace").decode() for one in lacking)
    return text, error.end


codecs.register_error(SPELLED, _spelled)


class _Lenient(io.RawIOBase):
    """Writes to a stream until that fails, and from then on nowhere.

    Attributes:
        error: the failure; None before it.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.error: OSError | None = None

    def write(self, data: Any) -> int | None:
        if self.error is None:
            try:
                written: int | None = self._raw.write(data)
                return written
            except OSError as error:
                self.error = error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        return bool(self._raw.isatty())


@contextmanager
def lenient_streams() -> Iterator[None]:
    """Let no writing to standard output or error fail within the context; see ``check_told``."""
    _occupy()
    before = sys.stdout, sys.stderr
    out, err = before
    if out is not None and out is sys.__stdout__:
        sys.stdout = _lenient(out, _errors_of(out))
    if err is not None and err is sys.__stderr__:
        sys.stderr = _lenient(err, SPELLED)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def check_told() -> None:
    """Check that standard output could be written; a reader that went away wanted no more.

    Raises:
        VolumeError: it could not.
    """
    if sys.stdout is None:
        return
    sys.stdout.flush()
    error = getattr(getattr(sys.stdout.buffer, "raw", None), "error", None)
    if error is not None and not isinstance(error, BrokenPipeError):
        raise VolumeError(
            f"standard output cannot be written: {error.strerror}; what was asked for is done, but not "
            "all of it could be told"
        )


def _errors_of(stream: Any) -> str:
    """Error handler with which names of files that are not UTF-8 come out as they are, if anyhow possible."""
    return "surrogateescape" if stream.encoding.lower().replace("-", "") == "utf8" else SPELLED


def _lenient(stream: Any, errors: str) -> io.TextIOWrapper:
    raw = _Lenient(getattr(stream.buffer, "raw", stream.buffer))  # python -u has no buffer between
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, errors, line_buffering=True)


def _occupy() -> None:
    """Open something in place of standard streams that are closed.

    Else the next file that is opened would get the number of one, and all that libraries print.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
