"""StructN2V (Broaddus et al., ISBI 2020), by CAREamics: Noise2Void for correlated noise."""

from __future__ import annotations

from typing import ClassVar

from baikal_evaluation.methods._careamics import CAREamicsMethod
from baikal_evaluation.methods.base import Needs


class StructN2V(CAREamicsMethod):
    """Predicts pixels without two neighbours on either side in their row; for noise along rows."""

    NEEDS: ClassVar[Needs] = "noisy"
