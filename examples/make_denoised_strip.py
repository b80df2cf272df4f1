"""Show what methods leave of an image, side by side: noisy, Gaussian, BM3D, the samplers, truth.

python examples/make_denoised_strip.py PAIRS OUTPUT.png

PAIRS is what baikal-eval takes; of its first pair, the upper left corner is shown. What baikal-eval denoised
before is taken from PAIRS_eval, and not done again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baikal_evaluation.cli import DEFAULT_METHODS
from baikal_evaluation.evaluation import Candidate
from baikal_evaluation.methods import Model, Spec
from baikal_evaluation.pairs import find_pairs
from baikal_evaluation.store import Store

SIDE = 256
PERCENTILES = (0.5, 99.8)
"""Of the truth: shown black and white."""


def strip(pairs: Path) -> NDArray[Any]:
    """Corners (SIDE, SIDE x methods + 1) on 0 to 1."""
    pair, store = find_pairs(pairs)[0], Store(pairs.with_name(f"{pairs.stem}_eval") / "predictions")
    _, clean = pair.read()
    assert clean is not None, "the truth is shown"
    tried = [Candidate(name, Spec.parse(name).make(Model())) for name in DEFAULT_METHODS.split()]
    shown = [*(candidate.denoise(pair, store).planes for candidate in tried), clean]
    low, high = np.percentile(clean[0], PERCENTILES)
    corners = [(planes[0, :SIDE, :SIDE] - low) / (high - low) for planes in shown]
    return np.clip(np.hstack(corners), 0, 1)


if __name__ == "__main__":
    Image.fromarray((strip(Path(sys.argv[1])) * 255).astype(np.uint8)).save(sys.argv[2], optimize=True)
