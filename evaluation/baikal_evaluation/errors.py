"""Errors that evaluation raises beside the runtime's."""

from __future__ import annotations

from baikal_deploy.errors import BaikalError


class EvaluationError(BaikalError):
    """Images that cannot be compared, or a method that cannot be run. Says what, where and what to do."""
