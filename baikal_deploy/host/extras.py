"""How this package was installed, and so the command that brings the packages of one of its extras."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

NAME = "baikal-deploy"


def install(extra: str, *, again: bool = False) -> str:
    """Command that installs an extra from where this package itself came from.

    From a clone or a file it is that one: on an index, a package of this name might be somebody else's.

    Args:
        extra: its name.
        again: also what is installed already, as where it is damaged.
    """
    return f"pip install {'--force-reinstall ' if again else ''}{_source(extra)}"


def _source(extra: str) -> str:
    """What pip is given. As PEP 610 has the record of where a package came from."""
    origin = _origin()
    url = str(origin.get("url", ""))
    if url.startswith("file:"):
        is_editable = origin.get("dir_info", {}).get("editable", False)
        return f'{"-e " if is_editable else ""}"{url2pathname(urlsplit(url).path)}[{extra}]"'
    system = origin.get("vcs_info", {}).get("vcs")
    return f'"{NAME}[{extra}]{f" @ {system}+{url}" if system else ""}"'


def _origin() -> dict[str, Any]:
    """Record of where this package came from; empty if from an index, or not known."""
    try:
        return dict(json.loads(metadata.distribution(NAME).read_text("direct_url.json") or "{}"))
    except (metadata.PackageNotFoundError, ValueError):
        return {}
