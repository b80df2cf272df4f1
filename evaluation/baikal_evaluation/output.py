"""Folder that an evaluation leaves behind."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from baikal_deploy._version import __version__
from baikal_deploy.host import machine
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.evaluation import Candidate, panel
from baikal_evaluation.metrics import Definition
from baikal_evaluation.pairs import Pair
from baikal_evaluation.report import choose, write_csv, write_html, write_json
from baikal_evaluation.results import Results, Row
from baikal_evaluation.store import Store

PACKAGES = ("numpy", "scipy", "scikit-image")


def results_of(rows: Iterable[Row], definition: Definition, tried: Sequence[Candidate]) -> Results:
    """Rows, and what has to stand beside them: definition, machine, command, versions, oracles.

    Args:
        rows: of all images and methods.
        definition: of their metrics.
        tried: the methods.
    """
    return Results(
        tuple(rows),
        str(definition),
        f"{machine.system()}, {machine.cpu().model or 'unknown CPU'}, {machine.cpu().cores} cores",
        " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        {"baikal-deploy": __version__, "python": platform.python_version()}
        | {package: version(package) for package in PACKAGES},
        frozenset(candidate.name for candidate in tried if candidate.method.ORACLE),
    )


def write_results(
    folder: Path, results: Results, pairs: Sequence[Pair], tried: Sequence[Candidate], store: Store
) -> None:
    """Write results.csv, results.json and report.html.

    Args:
        folder: is made if it is not there.
        results: of all pairs and methods.
        pairs: the images.
        tried: the methods.
        store: has their predictions, for the pictures of the page.

    Raises:
        EvaluationError: they cannot be written.
    """
    make_folder(folder)
    write_csv(folder / "results.csv", results)
    write_json(folder / "results.json", results)
    chosen = set(choose(results, [pair.name for pair in pairs]))
    done = {candidate.name: results.done(candidate.name) for candidate in tried}
    panels = [
        panel(pair, [candidate for candidate in tried if pair.name in done[candidate.name]], store)
        for pair in pairs
        if pair.name in chosen
    ]
    write_html(folder / "report.html", results, panels)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, if it is not there.

    Raises:
        EvaluationError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(
            f"{folder}: cannot be made ({error.strerror}); choose another output"
        ) from error
