"""baikal-models: the models that there are, and what they make of an image."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import rich_click as click

from baikal_deploy._version import __version__
from baikal_deploy.cli._models_text import describe_comparison, describe_model, list_models
from baikal_deploy.cli.terminal import Command, PlainConsole, friendly, tell_path
from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.engines import AUTO, engine_names
from baikal_deploy.errors import ConfigError
from baikal_deploy.models.manifest import find_model, shipped_models
from baikal_deploy.report.comparison import Comparison, check_picture
from baikal_deploy.volumes.channels import find_channels
from baikal_deploy.volumes.open import open_input
from baikal_deploy.volumes.places import check_writable
from baikal_deploy.volumes.urls import source_of

COMPARE = "compare"
SETTINGS = {"help_option_names": ["-h", "--help"], "show_default": True}


EXAMPLES = (
    ("baikal-models", "the models that come with the program"),
    ("baikal-models nuclei", "what one says of itself"),
    ("baikal-models compare cells.tif -o look.png", "which suits an image best, with a picture"),
)


@click.command("baikal-models", cls=Command, examples=EXAMPLES, context_settings=SETTINGS)
@click.argument("words", metavar="[MODEL… | compare IMAGE]", nargs=-1)
@click.option(
    "--models", metavar="MODEL,…",
    help=f"With {COMPARE}: names of shipped models, or .onnx files. [default: all that are shipped]",
)  # fmt: skip
@click.option("--channel", metavar="N|NAME", help=f"With {COMPARE}: the channel. [default: the first]")
@click.option("--series", metavar="N", type=int, help=f"With {COMPARE}: which image of a file with several.")
@click.option(
    "-o", "--output", metavar="FILE.png", type=click.Path(path_type=Path),
    help=f"With {COMPARE}: also write a picture of the crop, the results, and what was removed.",
)  # fmt: skip
@click.option(
    "--engine", default=AUTO,
    help=f"With {COMPARE}: the fastest that works here, or one of {', '.join(engine_names())}.",
)  # fmt: skip
@click.version_option(__version__)
@friendly
def main(words: tuple[str, ...], engine: str, **of_compare: Any) -> None:
    """List the models that come with the program, describe one, or compare what they make of an image.

    Without arguments all shipped models are listed; with one MODEL, a name or an .onnx file, all that it
    says of itself is told; with several these are listed. With compare, a crop of IMAGE is denoised with
    each model, and figures say which suits it best.
    """
    console = PlainConsole()
    if words[:1] == (COMPARE,):
        if len(words) != 2:
            raise ConfigError(f"{COMPARE}: give one image, such as baikal-models {COMPARE} cells.tif")
        _compare(console, words[1], engine, **of_compare)
        return
    for option, value in of_compare.items():
        if value is not None:
            raise ConfigError(f"--{option} {value}: is for {COMPARE}; write baikal-models {COMPARE} IMAGE")
    if len(words) == 1:
        lines = describe_model(find_model(words[0]), console.width)
    else:
        lines = list_models(_found(words) if words else shipped_models(), console.width)
    for line in list(lines):
        console.print(line, soft_wrap=True)


def _compare(
    console: PlainConsole,
    image: str,
    engine: str,
    models: str | None,
    channel: str | None,
    series: int | None,
    output: Path | None,
) -> None:
    if output is not None:
        check_picture(output)
        check_writable(output, "--output")
    paths = shipped_models() if models is None else _found([one.strip() for one in models.split(",")])
    volume = open_input(source_of(image), series)
    numbers = [0] if channel is None else find_channels(volume.info, [channel])
    if len(numbers) != 1:
        raise ConfigError(f"--channel {channel}: are {len(numbers)} channels; models are compared on one")
    with ExitStack() as stack:
        denoisers = {name: stack.enter_context(Denoiser.load(path, engine)) for name, path in paths.items()}
        found = Comparison.of(volume, numbers[0], denoisers)
    for line in describe_comparison(found, console.width):
        console.print(line, soft_wrap=True)
    if output is not None:
        found.save(output)
        tell_path(output)


def _found(models: list[str] | tuple[str, ...]) -> dict[str, Path]:
    """Files of models, by name, which is that of the file."""
    found = {path.stem: path for path in map(find_model, models)}
    if len(found) < len(models):
        raise ConfigError(f"{', '.join(models)}: two models of one name; name each once")
    return found
