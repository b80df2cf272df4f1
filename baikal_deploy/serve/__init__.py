"""Denoising for programs in other languages, over HTTP, and a page to look at a live stream.

>>> from baikal_deploy.live import LiveDenoiser
>>> from baikal_deploy.serve import Address, serve_page
>>> with LiveDenoiser("nuclei") as live, serve_page(live, Address(port=8001)) as page:
...     print(page.url)

It needs the extra ``serve``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from baikal_deploy.errors import ConfigError
from baikal_deploy.host.extras import install
from baikal_deploy.serve.address import Address
from baikal_deploy.serve.limits import Limits

if TYPE_CHECKING:
    from baikal_deploy.serve.server import Server, serve_frames, serve_page

__all__ = ["Address", "Limits", "Server", "serve_frames", "serve_page"]

EXTRA = ("prometheus_client", "starlette", "uvicorn")


def __getattr__(name: str) -> Any:
    """Load what needs the extra when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.server"), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA:
            raise
        raise ConfigError(f"serving needs the package {package}: {install('serve')}") from error
