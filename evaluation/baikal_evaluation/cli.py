"""baikal-eval: how well methods denoise, on pairs of noisy and clean images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import rich_click as click
from click import get_current_context
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from baikal_deploy._version import __version__
from baikal_deploy.cli.terminal import Command, PlainConsole, friendly, plain_console, tell, tell_path
from baikal_deploy.engines import AUTO
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models.manifest import DEFAULT_MODEL
from baikal_evaluation.ablation import ABLATIONS, Ablation, sweep
from baikal_evaluation.methods import Model, method_names
from baikal_evaluation.methods.base import MINUTES
from baikal_evaluation.metrics import Definition, Fit
from baikal_evaluation.report import print_table
from baikal_evaluation.session import Evaluation, Progress
from baikal_evaluation.table1 import SIMULATED, Table1

DEFAULT_METHODS = "noisy gaussian forward-backward mixing repaint"
TABLE_ONLY = {"jobs", "most"}
TABLE_OPTIONS = {*TABLE_ONLY, "minutes", "engine", "seed"}
"""Options that --table1 heeds, beside --output."""
PATH = click.Path(path_type=Path)

click.rich_click.OPTION_GROUPS = click.rich_click.OPTION_GROUPS | {
    "baikal-eval": [
        {"name": "What is compared", "options": ["--methods", "--model", "--engine", "--channel", "--seed"]},
        {"name": "What methods learn from", "options": ["--train", "--minutes"]},
        {"name": "The metrics", "options": ["--stored", "--data-range", "--per-plane", "--fit"]},
        {"name": "The paper's experiments", "options": ["--table1", "--ablation", "--jobs", "--most"]},
    ]
}


class DataRange(click.ParamType):  # type: ignore[type-arg]  # generic only in its stubs
    """Type of an option that is "joint" or a number."""

    name = "joint|number"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "joint" else click.FLOAT.convert(value, param, ctx)


@click.command(
    "baikal-eval", cls=Command, context_settings={"help_option_names": ["-h", "--help"], "show_default": True}
)
@click.argument("pairs", required=False, type=PATH)
@click.option("-o", "--output", type=PATH, help="Folder to write to. [default: PAIRS_eval, or table1]")
@click.option(
    "-m", "--methods", multiple=True, default=[DEFAULT_METHODS], metavar="NAMES",
    help=f"One text or several, of: {', '.join(method_names())}. Samplers take options, as in "
    "repaint,preset=paper, and the prediction of another method to be guided by, as in repaint@n2v.",
)  # fmt: skip
@click.option("--model", default=DEFAULT_MODEL, help="Of the samplers: a shipped one, or an .onnx file.")
@click.option("--engine", default=AUTO, help="What evaluates the model.")
@click.option("--channel", help="Number (from 0) or name of the channel of images with several.")
@click.option("--seed", type=int, default=0, help="Of everything random.")
@click.option(
    "--train", type=PATH, metavar="PAIRS",
    help="What methods learn from. [default: the noisy side of PAIRS itself]",
)  # fmt: skip
@click.option("--minutes", type=float, default=MINUTES, help="CPU time that each method may learn for.")
@click.option(
    "--stored", is_flag=True, help="Compare intensities as stored, not on a scale from the clean image's."
)
@click.option(
    "--data-range", type=DataRange(), help="Of SSIM and PSNR. [default: joint for SSIM, 1 for PSNR]"
)
@click.option("--per-plane", is_flag=True, help="Take means over planes; do not max-project volumes.")
@click.option(
    "--fit", type=click.Choice(get_args(Fit)), default="none",
    help="Fit each prediction's scale and offset to the clean image first.",
)  # fmt: skip
@click.option(
    "--table1", "table", metavar=f"{SIMULATED}|FOLDER",
    help="Fill the paper's Table 1, with simulated data, or with CARE's in FOLDER.",
)  # fmt: skip
@click.option("--ablation", type=click.Choice(ABLATIONS), help="Do a sweep of the paper's Figure 2 on PAIRS.")
@click.option("--jobs", type=click.IntRange(min=1), default=2, help="Processes of --table1.")
@click.option(
    "--most", type=click.IntRange(min=1), help="Test images of --table1 of each data set. [default: all]"
)
@click.version_option(__version__)
@friendly
def main(
    pairs: Path | None,
    output: Path | None,
    table: str | None,
    ablation: Ablation | None,
    **options: Any,
) -> None:
    """Measure how well methods denoise PAIRS: SSIM, PSNR, MSE, network evaluations and time.

    PAIRS is a folder with noisy/ and clean/ (without clean/, only the noise is measured), CARE's test data or
    .npz, or a CSV file with the columns name, noisy and clean. OUTPUT gets results.csv, results.json and
    report.html; what was learnt and denoised is kept there, and not done again.
    """
    if (pairs is None) == (table is None):
        raise ConfigError("give PAIRS, or --table1")
    _refuse_ignored(table is not None, ablation is not None)
    if table is not None:
        _fill_table(table, output or Path("table1"), options)
        return
    assert pairs is not None
    swept = None if ablation is None else sweep(ablation)
    methods = tuple(" ".join(options["methods"]).split()) if swept is None else swept.methods
    evaluation = _evaluation(pairs, output or _beside(pairs), methods, options)
    with _progress(plain_console()) as progress:
        results = evaluation.run(progress)
    print_table(results, PlainConsole())
    files = ["report.html", "results.csv", "results.json"]
    if swept is not None:
        files += [path.name for path in swept.write(evaluation.output, results)]
    tell(f"{evaluation.output}: {', '.join(files)}")


def _beside(pairs: Path) -> Path:
    """Folder that results go to by default."""
    named = pairs if pairs.name else pairs.absolute()  # "." has no name
    if not named.name:
        raise ConfigError(f"{pairs}: give a folder to write to (-o)")
    return named.with_name(f"{named.stem}_eval")


def _refuse_ignored(table: bool, ablation: bool) -> None:
    """Raise ConfigError for options that would change nothing."""
    context = get_current_context()
    given = {
        name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    if table:
        used, why = {*TABLE_OPTIONS, "table", "output"}, "with --table1"
    elif ablation:
        used, why = given - {*TABLE_ONLY, "methods", "train", "minutes"}, "with --ablation"
    else:
        used, why = given - TABLE_ONLY, "without --table1"
    if ignored := sorted(given - used):
        raise ConfigError(f"--{ignored[0].replace('_', '-')}: changes nothing {why}; leave it out")


def _fill_table(source: str, output: Path, options: dict[str, Any]) -> None:
    settings = {name: options[name] for name in TABLE_OPTIONS}
    with _progress(plain_console()) as progress:
        page = Table1(source, output, **settings).run(progress)
    for line in page.read_text(encoding="utf-8").split("\n"):
        tell(line)
    tell_path(page)


def _evaluation(pairs: Path, output: Path, methods: tuple[str, ...], options: dict[str, Any]) -> Evaluation:
    channel = options["channel"]
    ranges = {} if (one := options["data_range"]) is None else {"ssim_range": one, "psnr_range": one}
    return Evaluation(
        pairs,
        output,
        methods,
        Model(options["model"], options["engine"], seed=options["seed"]),
        Definition(
            normalisation=None if options["stored"] else Normalisation(),
            project=not options["per_plane"],
            fit=options["fit"],
            **ranges,
        ),
        int(channel) if channel is not None and channel.isdecimal() else channel,
        options["train"],
        options["minutes"],
    )


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def report(what: str, done: int, count: int) -> None:
            bar.update(task, description=what, completed=done, total=count)

        yield report


if __name__ == "__main__":
    main()
