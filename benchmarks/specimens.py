"""Simulated specimens that show what shipped models know, for the other scripts."""

from __future__ import annotations

SPECIMENS = {"nuclei": "nuclei", "tribolium": "tribolium", "membranes": "flywing"}
"""A scene of baikal-simulate for each of these models."""
