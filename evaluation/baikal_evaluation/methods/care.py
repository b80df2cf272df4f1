"""CARE (Weigert et al., Nature Methods 15, 2018), by CAREamics: learns from pairs."""

from __future__ import annotations

from typing import ClassVar

from baikal_evaluation.methods._careamics import CAREamicsMethod
from baikal_evaluation.methods.base import Needs


class CARE(CAREamicsMethod):
    """Supervised method, with the mean absolute error as its loss."""

    NEEDS: ClassVar[Needs] = "pairs"
