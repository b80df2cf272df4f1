"""baikal-eval as it is installed: without its packages it says how to install them."""

from __future__ import annotations

from baikal_deploy.cli.terminal import friendly, needing
from baikal_export.command import PACKAGES


@friendly
def main() -> None:
    """Load the command, and run it."""
    with needing("eval", *PACKAGES):
        from baikal_evaluation.cli import main as command
    command()
