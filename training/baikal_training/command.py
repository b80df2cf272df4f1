"""baikal-train as it is installed: without its packages it says how to install them."""

from __future__ import annotations

from baikal_deploy.cli.terminal import friendly, needing

PACKAGES = ("matplotlib", "tensorboard", "torch")
"""Packages of the extra ``train``."""


@friendly
def main() -> None:
    """Load the command, and run it."""
    with needing("train", *PACKAGES):
        from baikal_training.cli import main as command
    command()
