"""What baikal-run --help-sampler prints: the options of a sampler, as its docstrings describe them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from inspect import cleandoc
from textwrap import wrap
from typing import Any

import rich_click as click

from baikal_deploy.cli.terminal import PlainConsole, friendly
from baikal_deploy.diffusion.samplers import sampler_class
from baikal_deploy.diffusion.samplers.base import Sampler

MODEL_WINS = "What a model recommends takes the place of these defaults (baikal-models MODEL tells it)."
LEAST_WIDTH = 40
_ENTRY = re.compile(r"^    ((?:\w+(?:, )?)+): (.*(?:\n        .*)*)", re.MULTILINE)
"""A line of a section Attributes, with those that continue it."""


def describe_sampler(name: str) -> Iterator[tuple[str, str, str]]:
    """Name, default and description of each option of a sampler.

    Args:
        name: as users give it.

    Raises:
        ConfigError: there is no such sampler; the message lists those there are.
    """
    kind = sampler_class(name)
    described = _described(kind)
    for field in fields(kind):
        yield field.name, _default(field), described.get(field.name, "")
    if kind.PRESETS:
        presets = "; ".join(f"{key} is {_values(values)}" for key, values in kind.PRESETS.items())
        yield "preset", "none", f"settings together, in place of what the model recommends: {presets}."


def summary_of(name: str) -> str:
    """First line on a sampler.

    Args:
        name: as users give it.

    Raises:
        ConfigError: there is no such sampler.
    """
    return (sampler_class(name).__doc__ or "").partition("\n")[0].replace("``", "")


def tell_sampler(ctx: click.Context, option: click.Parameter, name: str | None) -> None:
    """Print the options of a sampler, and end the command.

    Args:
        ctx: of the command.
        option: that asks for it.
        name: of the sampler; None: nobody asked.
    """
    if name is None:
        return
    friendly(_tell)(name)
    ctx.exit()


def _tell(name: str) -> None:
    console = PlainConsole()
    width = max(LEAST_WIDTH, console.width)
    for line in wrap(f"{name}: {summary_of(name)}", width):
        console.print(line, soft_wrap=True)
    for key, default, words in describe_sampler(name):
        console.print("")
        console.print(f"-o {key}=…  [default: {default}]", soft_wrap=True)
        for line in wrap(words, width - 4):
            console.print(f"    {line}", soft_wrap=True)
    console.print("")
    for line in wrap(MODEL_WINS, width):
        console.print(line, soft_wrap=True)


def _described(kind: type[Sampler]) -> dict[str, str]:
    """Descriptions of the attributes, those of the class itself before those of what it is derived from."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        text = cleandoc(one.__doc__ or "")
        _, _, attributes = text.partition("Attributes:\n")
        for names, words in _ENTRY.findall(attributes):
            plain = " ".join(words.split()).replace("``", "").replace("None:", "left out:")
            found |= dict.fromkeys(names.split(", "), plain)
    return found


def _default(field: Any) -> str:
    if field.default is MISSING:
        return "required"
    return "automatic" if field.default is None else str(field.default)


def _values(values: Any) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())
