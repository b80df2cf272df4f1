"""A key of the cache of engine files, and one that differs, for each of its fields."""

from __future__ import annotations

from typing import Any

from baikal_deploy.engines._tensorrt.key import EngineKey
from baikal_deploy.engines._tensorrt.profile import Profile

KEY = EngineKey(
    model="0" * 64,
    family="tensorrt",
    version="11.4.0.106",
    cuda=13,
    profile=Profile((1, 8, 8), (1, 64, 64), (2, 64, 64)),
    precision="fp32",
    flags=("strongly typed", "no TF32"),
    system="Linux x86_64",
    gpu="NVIDIA RTX A4000",
    compute_capabilities=(86,),
)
OTHERS: dict[str, Any] = {
    "model": "1" * 64,
    "family": "tensorrt-rtx",
    "version": "11.4.0.107",
    "cuda": 12,
    "profile": Profile((1, 8, 8), (1, 32, 32), (2, 64, 64)),
    "precision": "fp16",
    "flags": ("strongly typed",),
    "system": "Windows AMD64",
    "gpu": "NVIDIA RTX A5000",
    "compute_capabilities": (89,),
    "schema": 2,
}
"""Another value for each field of a key."""
