"""baikal-doctor: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path

import rich_click as click
from rich.console import Console

from baikal_deploy._version import __version__
from baikal_deploy.cli._doctor_text import describe, describe_run
from baikal_deploy.cli.terminal import Command, PlainConsole, friendly, plain_console
from baikal_deploy.doctor.examine import Examination, examine
from baikal_deploy.doctor.smoke import gpu_engines, smoke
from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import DEFAULT_MODEL, shipped_models
from baikal_deploy.volumes.places import check_writable

EXAMPLES = (
    ("baikal-doctor", "which engines work here, and what others need"),
    ("baikal-doctor --gpu-smoke gpu.json", "try out the engines of a GPU"),
)


@click.command(
    "baikal-doctor",
    cls=Command,
    examples=EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--gpu-smoke", "smoke_path", metavar="FILE.json", type=click.Path(path_type=Path),
    help="Also try every GPU engine that works here against the CPU, and write what is found to a file.",
)  # fmt: skip
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    help=f"To choose an engine for: a shipped model ({', '.join(shipped_models())}), or an .onnx file.",
)
@click.version_option(__version__)
@friendly
def main(as_json: bool, smoke_path: Path | None, model: str) -> None:
    """Tell which engines work on this machine, and what is missing for the others.

    The exit code is 0 if any engine works here in fp32, and 1 if none does. With --gpu-smoke it is 0
    if there are GPU engines that work here and do all that they should, and 1 otherwise.
    """
    if smoke_path is not None and smoke_path.suffix.lower() != ".json":
        raise ConfigError(f"--gpu-smoke {smoke_path}: must end in .json")
    if smoke_path is not None:
        check_writable(smoke_path, "--gpu-smoke")
    with redirect_stdout(sys.stderr):  # vendors' packages may print when they are imported
        report = examine(model)
    console = PlainConsole()
    if as_json:
        _print(console, json.dumps(report.as_dict(), indent=2).splitlines())
    else:
        _print(console, describe(report, console.width))
    good = report.works if smoke_path is None else _smoke(smoke_path, model, report)
    sys.exit(0 if good else 1)


def _smoke(path: Path, model: str, report: Examination) -> bool:
    """Try the GPU engines; True if there are any, and all of them do what they should."""
    console = plain_console()
    _print(console, ["", f"Trying the GPU engines with model {report.model.name}"])
    runs = smoke(path, model, report, gpu_engines(report), lambda line: _print(console, [line]))
    if not runs:
        _print(console, ["no GPU engine works here; the list above says what each of them needs"])
    for key, run in runs.items():
        _print(console, describe_run(key, run))
    _print(console, [f"written: {path}"])
    return bool(runs) and not any(run["problems"] for run in runs.values())


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)
