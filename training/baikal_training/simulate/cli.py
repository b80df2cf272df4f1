"""baikal-simulate: clean and noisy microscopy images, to train and to test with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import rich_click as click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from baikal_deploy._version import __version__
from baikal_deploy.cli.terminal import Command, friendly, plain_console, tell_path
from baikal_training.simulate import morphologies
from baikal_training.simulate.files import Format
from baikal_training.simulate.pairs import PairSet


@click.command(
    "baikal-simulate",
    cls=Command,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.argument("morphology", type=click.Choice(morphologies()))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--size", metavar="PX", type=int, default=512, help="Height and width of a plane.")
@click.option("--planes", metavar="N", type=int, default=1, help="Planes of a volume.")
@click.option("--times", metavar="N", type=int, default=1, help="Time points of a series.")
@click.option("--count", metavar="N", type=int, default=1, help="Images, each with a seed of its own.")
@click.option("--psnr", metavar="DB", type=float, default=15.0, help="Of the noisy images, 0 to 60 dB.")
@click.option(
    "--correlated", metavar="SHARE", type=float, default=0.0,
    help="Share of the noise variance, 0 to 1, that is correlated along rows.",
)  # fmt: skip
@click.option(
    "--format", "file_format", type=click.Choice(get_args(Format)), default="zarr", help="File format."
)
@click.option("--seed", type=int, default=0, help="The same seed gives the same images.")
@click.option("--clean-only", is_flag=True, help="Write no noisy images.")
@click.option("--overwrite", is_flag=True, help="Replace existing images.")
@click.version_option(__version__)
@friendly
def main(
    output: Path, size: int, planes: int, times: int, file_format: Format, overwrite: bool, **settings: Any
) -> None:
    """Simulate fluorescence microscopy: pairs of a clean and a noisy image.

    Writes OUTPUT/clean/NAME and OUTPUT/noisy/NAME, both in the camera's counts: the clean image is
    what the noisy one would be without noise.
    """
    pairs = PairSet(shape=(times, planes, size, size), **settings)
    files = 1 if pairs.clean_only else 2
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=plain_console()) as progress:
        bar = progress.add_task("simulating", total=files * pairs.count)
        for _ in pairs.write(output, file_format, overwrite=overwrite):
            progress.advance(bar)
    tell_path(output)


if __name__ == "__main__":
    main()
