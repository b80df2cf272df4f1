"""Noise2Void (Krull et al., CVPR 2019), by CAREamics: learns from noisy images alone."""

from __future__ import annotations

from typing import ClassVar

from baikal_evaluation.methods._careamics import CAREamicsMethod
from baikal_evaluation.methods.base import Needs


class N2V(CAREamicsMethod):
    """Predicts pixels from their surroundings; right for noise that is independent between pixels."""

    NEEDS: ClassVar[Needs] = "noisy"
