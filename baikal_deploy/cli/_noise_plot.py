"""The noise of a channel as a plot."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from rich.bar import Bar
from rich.table import Table

from baikal_deploy.measurement.noise_model import NoiseModel
from baikal_deploy.pixels.figures import figures
from baikal_deploy.report.words import total_std

BAR_WIDTH = 40


def plot(noise: NoiseModel, curve: NDArray[np.float64]) -> Table:
    """Table with a row for each bin: intensity, noise and fit, and a bar as long as the noise.

    Args:
        noise: the fit.
        curve: the bins (N, 3) in raw units, as ``Denoiser.noise_curve`` gives them; one at least.
    """
    table = Table(box=None, padding=(0, 1))
    for name in ("intensity", "noise", "fit"):
        table.add_column(name, justify="right")
    strongest = noise.correlation * float(np.sqrt(curve[:, 1].max()))
    table.add_column(f"0 … {figures(strongest, 3)}")
    for intensity, variance, _ in _spread(curve):
        std = noise.correlation * float(np.sqrt(variance))
        fit = total_std(noise, intensity)
        table.add_row(
            figures(intensity),
            figures(std, 3),
            figures(fit, 3),
            Bar(strongest, 0, std, width=BAR_WIDTH),
        )
    return table


def _spread(curve: NDArray[np.float64], rows: int = 16) -> Iterable[NDArray[np.float64]]:
    """Bins about evenly spaced in intensity, the lowest and the highest among them."""
    wanted = np.linspace(curve[0, 0], curve[-1, 0], rows)
    return [curve[i] for i in sorted({int(np.argmin(np.abs(curve[:, 0] - x))) for x in wanted})]
