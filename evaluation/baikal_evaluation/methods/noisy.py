"""Noisy image itself, which every method begins with."""

from __future__ import annotations

from typing import Any

from baikal_evaluation.methods.base import Method, Prediction, Stack


class Noisy(Method):
    """The noisy image itself."""

    @property
    def identity(self) -> dict[str, Any]:
        return {}

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        return Prediction(noisy)
