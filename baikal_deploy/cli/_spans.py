"""Parts of a volume as they are written on the command line."""

from __future__ import annotations

import re
from typing import Any

from baikal_deploy.errors import ConfigError
from baikal_deploy.volumes.selection import Span

_SPAN = re.compile(r"\s*(?:(?P<one>-?\d+)|(?P<start>-?\d+)?:(?P<stop>-?\d+)?(?::(?P<step>\d+)?)?)\s*")


def parse_spans(t: str | None, z: str | None, roi: str | None) -> dict[str, Any]:
    """Choice of the options --t, --z and --roi, by the names of ``RunConfig``.

    Args:
        t, z, roi: the options as they are written; None: not given.

    Raises:
        ConfigError: a text that is neither a Python slice nor an index.
    """
    found: dict[str, Any] = {
        name: _span(name, text, text) for name, text in (("t", t), ("z", z)) if text is not None
    }
    return found if roi is None else found | {"roi": _roi(roi)}


def _roi(text: str) -> tuple[Span, Span]:
    rows, comma, columns = text.partition(",")
    if not comma:
        raise ConfigError(f"--roi {text}: write Y0:Y1,X0:X1, such as 0:512,256:768")
    return _span("roi", rows, text), _span("roi", columns, text)


def _span(option: str, text: str, whole: str) -> Span:
    found = _SPAN.fullmatch(text)
    if found is None:
        like = "Y0:Y1,X0:X1" if option == "roi" else "START:STOP, START:STOP:STEP or one index"
        raise ConfigError(f"--{option} {whole}: write {like}, in integers, such as 5:20")
    if found["one"] is not None:
        return int(found["one"])
    return slice(*(None if found[name] is None else int(found[name]) for name in ("start", "stop", "step")))
