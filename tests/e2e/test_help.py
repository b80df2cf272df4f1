"""What the commands say of themselves."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from importlib import import_module

import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from baikal_deploy.__main__ import COMMANDS
from baikal_deploy.cli._sampler_text import describe_sampler
from baikal_deploy.cli.run import main
from baikal_deploy.diffusion.samplers import sampler_class, sampler_names


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_examples_that_the_command_knows(name: str) -> None:
    """Their options are those that there are."""
    command = import_module(f"baikal_deploy.cli.{name}").main
    text = CliRunner(env={"COLUMNS": "120"}).invoke(command, ["-h"]).output
    assert command.examples
    known = {option for parameter in command.params for option in parameter.opts}
    for line, _ in command.examples:
        assert line in text
        words = line.split()
        assert words[0] == f"baikal-{name}"
        assert {word for word in words if word.startswith("-")} <= known


@pytest.mark.parametrize("name", sampler_names())
def test_the_options_of_a_sampler_are_told(name: str) -> None:
    result = CliRunner().invoke(main, ["--help-sampler", name])
    assert result.exit_code == 0
    kind = sampler_class(name)
    for field in fields(kind):
        assert f"-o {field.name}=… " in result.output
    described = {option: words for option, _, words in describe_sampler(name)}
    assert all(described.values()), described
    assert ("preset" in described) == bool(kind.PRESETS)


def test_a_sampler_that_there_is_not() -> None:
    result = CliRunner().invoke(main, ["--help-sampler", "magic"])
    assert result.exit_code == 2
    assert "unknown sampler 'magic'" in result.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [(["--sampler"], "matched"), (["--engine"], "onnx-cpu"), (["--model"], "nuclei"), ([], "--codec")],
)
def test_a_shell_completes(words: list[str], found: str) -> None:
    shell = BashComplete(main, {}, "baikal-run", "_BAIKAL_RUN_COMPLETE")
    assert found in [one.value for one in shell.get_completions(words, found[:3])]


def test_a_shell_completes_files() -> None:
    shell = BashComplete(main, {}, "baikal-run", "_BAIKAL_RUN_COMPLETE")
    assert [one.type for one in shell.get_completions([], "cells")] == ["file"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "usage: python -m baikal_deploy COMMAND"),
        (["-h"], 0, "usage:"),
        (["run", "none"], 2, "error: none"),
    ],
)
def test_the_package_as_a_command(words: list[str], code: int, told: str) -> None:
    command = [sys.executable, "-m", "baikal_deploy", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert told in (done.stdout if code == 0 else done.stderr)
