"""baikal-export as it is installed: without its packages it says how to install them."""

from __future__ import annotations

from baikal_deploy.cli.terminal import friendly, needing
from baikal_training.command import PACKAGES as TRAINING

PACKAGES = (*TRAINING, "onnx", "onnxruntime", "onnxscript", "skimage")
"""Packages of the extra ``export``."""


@friendly
def main() -> None:
    """Load the command, and run it."""
    with needing("export", *PACKAGES):
        from baikal_export.cli import main as command
    command()
