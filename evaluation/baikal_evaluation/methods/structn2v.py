"""StructN2V (Broaddus et al., ISBI 2020), by CAREamics: Noise2Void for noise that is correlated nearby."""

from __future__ import annotations

from typing import ClassVar

from baikal_evaluation.methods._careamics import CAREamicsMethod
from baikal_evaluation.methods.base import Needs


class StructN2V(CAREamicsMethod):
    """Predicts pixels from what lies outside a square of 5 x 5 pixels around them."""

    NEEDS: ClassVar[Needs] = "noisy"
