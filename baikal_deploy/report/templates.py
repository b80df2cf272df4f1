"""Templates of pages: everything that is filled in is escaped, and made visible."""

from __future__ import annotations

from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, select_autoescape

from baikal_deploy.pixels.figures import figures
from baikal_deploy.untrusted.text import visible


def environment(package: str) -> Environment:
    """Templates in the folder "page" of a package, and what all pages share."""
    folders = dict.fromkeys([package, "baikal_deploy.report"])
    made = Environment(
        loader=ChoiceLoader([PackageLoader(folder, "page") for folder in folders]),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    made.filters["figures"] = figures
    return made


def _visible(value: Any) -> Any:
    return value if hasattr(value, "__html__") else "\n".join(map(visible, str(value).split("\n")))
