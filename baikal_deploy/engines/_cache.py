"""Where what engines have made of a model is kept."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

VARIABLE = "BAIKAL_CACHE"


def cache_folder() -> Path:
    """In the system's cache folder of this user, or the folder named by BAIKAL_CACHE."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen) if chosen else user_cache_path("baikal-deploy")
