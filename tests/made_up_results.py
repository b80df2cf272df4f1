"""Results and panels with awkward names, to report on."""

from __future__ import annotations

from typing import Any

import numpy as np

from baikal_evaluation.report import Panel
from baikal_evaluation.results import Results, Row

DEFINITION = 'PSNR with data range 1, "joint" <range> for SSIM; μ ± σ'
AWKWARD = 'naïve, <b>&"crop"\', ß $x$.tif'
"""An image's name, with whatever CSV, HTML and matplotlib treat in a way of their own."""
IMAGES = (AWKWARD, *(f"image {i}" for i in range(5)))
METHODS = ("noisy", "gauss,<i>$2$", "sampler,preset=paper")


def results(rows: list[Row] | None = None, **more: Any) -> Results:
    """Each method on each image, but for one failure; the second method is an oracle."""
    texts = {"definition": DEFINITION, "machine": "Abacus <9000>", "command": "baikal-eval a --methods 'b&c'"}
    values: dict[str, Any] = {
        "versions": {"numpy": "2.0"}, "oracles": frozenset(METHODS[1:2]), **texts, **more,
    }  # fmt: skip
    return Results(tuple(all_rows() if rows is None else rows), **values)


def all_rows() -> list[Row]:
    rows = [row(image, method) for image in IMAGES for method in METHODS]
    failed = Row(IMAGES[2], METHODS[2], error='sampler: <script>alert(1)</script>, out of "memory"')
    return [failed if (one.image, one.method) == (failed.image, failed.method) else one for one in rows]


def row(image: str, method: str) -> Row:
    """Figures that have no short decimal form."""
    i, j = IMAGES.index(image), METHODS.index(method)
    psnr = 20 + i / 3 + 5 * j + 0.1 * np.sin(7.0 * i * j)
    ssim, mse = 0.5 + j / 7 + i / 90, float(10 ** (-psnr / 10))
    return Row(image, method, ssim, float(psnr), mse, (0, 9, 30)[j], seconds_per_plane=0.1 + j / 3, planes=2)


def panel(image: str, methods: tuple[str, ...] = METHODS, side: int = 40, clean: bool = True) -> Panel:
    """``noisy`` changes nothing; the others are ever smoother."""
    rng = np.random.default_rng(len(image))
    truth = np.zeros((side, side), np.float32)
    truth[side // 4 : side // 2, side // 4 : side // 2] = 1
    noise = rng.normal(0, 0.3, truth.shape).astype(np.float32)
    planes = {method: (truth + noise / (1 + i)).astype(np.float32) for i, method in enumerate(methods)}
    return Panel(image, truth + noise, truth if clean else None, planes)
