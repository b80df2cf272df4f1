"""A run as one page that holds everything it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from baikal_deploy.engines.base import Engine
from baikal_deploy.errors import VolumeError
from baikal_deploy.host import machine
from baikal_deploy.host.durable import whole_file
from baikal_deploy.pixels.arrays import Raw
from baikal_deploy.pixels.counts import CHANCE
from baikal_deploy.pixels.figures import figures
from baikal_deploy.report import views
from baikal_deploy.report.plots import histograms, noise_fit
from baikal_deploy.report.preview import MOST_CHANNELS
from baikal_deploy.report.spectrum import in_svg
from baikal_deploy.report.templates import environment
from baikal_deploy.report.words import (
    describe_choice,
    describe_model,
    describe_noise,
    describe_passed_over,
    describe_structure,
)  # fmt: skip
from baikal_deploy.run.recipes import sample
from baikal_deploy.run.result import RunReport
from baikal_deploy.run.run import Run
from baikal_deploy.volumes.base import Volume
from baikal_deploy.volumes.open import open_input


@dataclass(frozen=True)
class Channel:
    """A channel as the page shows it.

    Attributes:
        low, high: raw intensities that the network sees as −1 and 1.
        model, noise, structure, sampler: in words.
        nfe: network evaluations per plane.
        options: of the sampler, with nothing left automatic.
        whole, planes, suspects: pictures.
        histograms, fit, spectrum: plots, as SVG; the last is empty where the noise is white.
        sampled: pixels that the histograms are made of.
    """

    name: str
    low: str
    high: str
    model: str
    noise: str
    structure: str
    sampler: str
    nfe: int
    options: dict[str, Any]
    whole: views.Whole
    planes: list[views.View]
    suspects: views.Suspects | None
    histograms: str
    fit: str
    spectrum: str
    sampled: int


def save_report(path: Path, run: Run, report: RunReport, after: Volume) -> None:
    """Write an HTML page that needs no other file and no network.

    Pictures and plots are made from bounded parts of the volumes, and a fit of the noise takes a few network
    evaluations more.

    Args:
        path: of the page.
        run: still open.
        report: of its execution.
        after: what it wrote.

    Raises:
        VolumeError: pixels that cannot be read, or the file cannot be written.
        EngineError: the network failed.
    """
    recipes = map(run.recipes.first, run.recipes.channels)
    measured = [note for recipe in recipes for note in recipe.measurement.notes()]
    page = (
        environment("baikal_deploy.report")
        .get_template("page.html")
        .render(
            run=run,
            info=run.volume.info,
            report=report,
            engines=_engines(run),
            channels=list(islice(_channels(run, after), MOST_CHANNELS)),
            tally=report.tally,
            notes=[*report.notes, *measured],
            chance=CHANCE,
            machine=machine.cpu().model or machine.system(),
            provenance=json.dumps(run.provenance(report.tally, report.notes), indent=2, ensure_ascii=False),
        )
    )
    try:
        with whole_file(path) as new:
            # Names of files that are not UTF-8 hold surrogates, which cannot be encoded.
            new.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        reason = error.strerror or str(error)
        raise VolumeError(
            f"{path}: the report cannot be written ({reason}); the output is complete"
        ) from error


def _channels(run: Run, after: Volume) -> Iterator[Channel]:
    mask = None if run.config.mask is None else open_input(run.config.mask)
    before = run.work.readable
    for place in run.recipes.channels:
        recipe, group = run.recipes.first(place), run.recipes.first_group(place)
        windows = sample(run.volume, group, run.config.on_error)
        pixels = _flat(sample(before, group), sample(after, group))
        measurement = recipe.measurement
        curve = run.models.of(place).denoiser.noise_curve(windows, measurement)
        yield Channel(
            run.volume.info.channel_name(place),
            figures(measurement.intensity.low),
            figures(measurement.intensity.high),
            describe_model(run, place),
            describe_noise(measurement),
            "; ".join(describe_structure(measurement)),
            describe_choice(run, place),
            recipe.nfe,
            recipe.sampler.options,
            views.whole(before, after, place),
            [
                *views.planes(before, after, place),
                *(views.kymograph(before, after, place, axis) for axis in run.config.fuse or ""),
            ],
            None if mask is None else views.suspects(mask, place),
            histograms(*pixels, measurement.intensity),
            noise_fit(curve, measurement.noise) if measurement.noise is not None and len(curve) else "",
            "" if measurement.spectrum is None else in_svg(measurement.spectrum),
            pixels[0].size,
        )


def _engines(run: Run) -> dict[Engine, str]:
    """An engine of each kind that was used, and words on those that were passed over for it."""
    engines = {own.denoiser.predictor.engine: own.denoiser.passed_over for own in run.models.used}
    kinds = {(engine.name, engine.precision, engine.device): engine for engine in reversed(engines)}
    taken = {engine: passed for engine, passed in engines.items() if engine in kinds.values()}
    return {engine: describe_passed_over(passed) if passed else "" for engine, passed in taken.items()}


def _flat(before: list[Raw], after: list[Raw]) -> tuple[Raw, Raw]:
    """Samples of the same pixels, those that are finite in both."""
    flat = [np.concatenate([window.ravel() for window in sample]) for sample in (before, after)]
    finite = np.isfinite(flat[0]) & np.isfinite(flat[1])
    return flat[0][finite], flat[1][finite]
