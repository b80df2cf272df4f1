"""The commands, for whom python -m baikal_deploy is easier to call than baikal-run and the others."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "run": "denoise images",
    "noise": "tell gain and noise of an image",
    "models": "list, describe and compare the models",
    "serve": "denoise frames of other programs",
    "doctor": "tell what works on this machine",
}


def main() -> None:
    """Call the command that the first argument names, with the others."""
    name, *others = sys.argv[1:] or [""]
    if name in COMMANDS:
        command = importlib.import_module(f"baikal_deploy.cli.{name}")
        command.main(args=others, prog_name=f"python -m baikal_deploy {name}")
    else:
        _tell_usage(name)


def _tell_usage(name: str) -> None:
    asked = name in ("-h", "--help")
    stream = sys.stdout if asked else sys.stderr
    print("usage: python -m baikal_deploy COMMAND …, such as run cells.tif", file=stream)
    for command, what in COMMANDS.items():
        print(f"  {command:<8} {what} (baikal-{command}); {command} -h has its options", file=stream)
    sys.exit(0 if asked else 2)


if __name__ == "__main__":
    main()
