"""The report of baikal-export once a file is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from baikal_deploy.models.manifest import Stored
from baikal_export.verification import FILE, Verification


def report(model: Path, output: Path, precision: Stored, found: Verification) -> list[str]:
    """Lines for people: values near the end of fp16's range, and in the last one what was written."""
    size = output.stat().st_size / 1e6
    if precision == "fp32":
        agreement = f"it agrees with {model} to {found.largest_error:.1e}"
    else:
        errors = found.relative_error[FILE]
        first, *_, last = errors
        agreement = f"relative error {errors[first]:.1e} at t = {first} to {errors[last]:.1e} at t = {last}"
    written = f"wrote {output} ({size:.1f} MB, {precision}); {agreement}; {_denoised(found)}"
    return [*_range_table(found.details.get("range", {})), written]


def _denoised(found: Verification) -> str:
    if found.denoised is None:
        return f"not compared on denoised planes: {found.source}"
    change = found.denoised
    return (
        f"PSNR of {found.planes} denoised planes {change.psnr_change_db:+.3f} dB, "
        f"SSIM {change.ssim_change:+.4f} ({found.source})"
    )


def _range_table(reach: dict[str, Any]) -> list[str]:
    """Values that come near the end of fp16's range, if there are any."""
    near = reach.get("near", {})
    if not near:
        return []
    rows = [f"{value:12.5g}  {place}" for place, value in near.items()]
    return [f"near the end of fp16's range, {reach['limit']:g}:", *rows]
