"""The folder of a training run: what was done, on what, and how it went."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from baikal_deploy.errors import ConfigError
from baikal_training.interrupts import uninterrupted
from baikal_training.validation import SIGMAS

Row = dict[str, float]
LAST = "last.pt"
COLUMNS = (
    "iteration",
    "loss",
    "learning_rate",
    "crops_per_second",
    "validation_loss",
    *(f"psnr_{sigma}" for sigma in SIGMAS),
)
_CONFIG, _SPLIT, _LOG, _CURVES = "config.json", "split.json", "log.csv", "curves.png"


class RunFolder:
    """A folder that is written during a run, so that it tells what happened even if the run is killed.

    ``config.json`` and ``split.json``: everything that defines the run. ``log.csv``: a row per
    report. ``curves.png``: the same, drawn. ``panels/``: validation crops, denoised.
    ``tensorboard/``: all of that for TensorBoard. ``last.pt``: the checkpoint to resume from.
    """

    def __init__(self, path: Path, rows: list[Row], first: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self.path, self.last, self.rows = path, path / LAST, rows
        self._tensorboard = SummaryWriter(str(path / "tensorboard"), purge_step=first)
        self._write_rows("w", rows)

    @classmethod
    def create(cls, path: Path, config: Mapping[str, Any], split: Mapping[str, Any]) -> Self:
        """Make the folder of a new run.

        Raises:
            ConfigError: the folder exists or cannot be made.
        """
        try:
            path.mkdir(parents=True)
            (path / _CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
            (path / _SPLIT).write_text(json.dumps(split, indent=2) + "\n", encoding="utf-8")
            (path / "panels").mkdir()
            return cls(path, [])
        except FileExistsError as error:
            raise ConfigError(
                f"{path}: there is a run already; continue it with --resume, or remove the folder"
            ) from error
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error

    @classmethod
    def reopen(cls, path: Path, iteration: int) -> Self:
        """Continue a run from an iteration; what was logged after it is forgotten.

        Raises:
            ConfigError: the folder's log cannot be read or written.
        """
        try:
            with (path / _LOG).open(newline="", encoding="utf-8") as file:
                rows = [_parsed(row) for row in csv.DictReader(file)]
            return cls(path, [row for row in rows if row["iteration"] <= iteration], iteration + 1)
        except OSError as error:
            raise ConfigError(
                f"{path}: its {_LOG} cannot be read and written ({error.strerror}); nothing was trained"
            ) from error

    def close(self) -> None:
        """Write out what TensorBoard still buffers."""
        self._tensorboard.close()

    def log(
        self, iteration: int, values: Mapping[str, float], panel: NDArray[np.uint8] | None = None
    ) -> None:
        """Add a row (its columns are COLUMNS), and the curves and pictures that go with it.

        Raises:
            ConfigError: the folder cannot be written to.
            KeyboardInterrupt: Ctrl-C came meanwhile; the row is whole.
        """
        self.rows.append({"iteration": iteration, **values})
        try:
            with uninterrupted():
                self._write(iteration, values, panel)
        except OSError as error:
            raise ConfigError(
                f"{self.path}: cannot be written ({error.strerror}); make room, then use --resume"
            ) from error

    def _write(self, iteration: int, values: Mapping[str, float], panel: NDArray[np.uint8] | None) -> None:
        self._write_rows("a", self.rows[-1:])
        for name, value in values.items():
            self._tensorboard.add_scalar(name, value, iteration)
        if panel is not None:
            Image.fromarray(panel).save(self.path / "panels" / f"{iteration:07d}.png")
            self._tensorboard.add_image("panel", panel, iteration, dataformats="HW")
            self._draw_curves()

    def _write_rows(self, mode: str, rows: Sequence[Row]) -> None:
        with (self.path / _LOG).open(mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            if mode == "w":
                writer.writeheader()
            writer.writerows(rows)

    def _draw_curves(self) -> None:
        from matplotlib.figure import Figure  # slow to import

        figure = Figure(figsize=(8, 8), layout="constrained")
        losses, levels = figure.subplots(2, sharex=True)
        for name in ("loss", "validation_loss"):
            losses.plot(*self._series(name), label=name.replace("_", " "))
        for sigma in SIGMAS:
            levels.plot(*self._series(f"psnr_{sigma}"), ".-", label=f"noise {sigma}")
        losses.set(yscale="log", ylabel="loss")
        levels.set(xlabel="iteration", ylabel="validation PSNR of one evaluation (dB)")
        for axes in (losses, levels):
            axes.legend()
            axes.grid(alpha=0.3)
        figure.savefig(self.path / _CURVES, dpi=100)

    def _series(self, name: str) -> tuple[list[float], list[float]]:
        rows = [row for row in self.rows if name in row]
        return [row["iteration"] for row in rows], [row[name] for row in rows]


def _parsed(row: Mapping[str, str]) -> Row:
    values: Row = {name: float(value) for name, value in row.items() if value}
    return values | {"iteration": int(row["iteration"])}


def levels_in(row: Row) -> Row:
    """The PSNR in a row of the log, by noise level."""
    return {name.removeprefix("psnr_"): value for name, value in row.items() if name.startswith("psnr_")}


def recorded(path: Path) -> dict[str, Any]:
    """Everything but the data that defines the run in a folder.

    Raises:
        ConfigError: there is no run in it.
    """
    return _read(path / _CONFIG)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); there is no run to resume") from error


def check_same_run(path: Path, config: Mapping[str, Any], split: Mapping[str, Any]) -> None:
    """Check that the run in a folder is the one that is to be continued.

    Raises:
        ConfigError: it was started with another configuration or on other data.
    """
    _check_same(path / _CONFIG, config)
    _check_same(path / _SPLIT, split)


def _check_same(path: Path, wanted: Mapping[str, Any]) -> None:
    found = _read(path)
    wanted = json.loads(json.dumps(wanted))
    for section in sorted({*found, *wanted}):
        before, now = found.get(section), wanted.get(section)
        if before != now:
            raise ConfigError(
                f"{path}: the run was started with other {section} ({_difference(before, now)}); "
                f"--resume needs the same"
            )


def _difference(before: Any, now: Any) -> str:
    """The first entry that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        name = next(name for name in {**before, **now} if before.get(name) != now.get(name))
        return f"{name} {_short(before.get(name))}, now {_short(now.get(name))}"
    return f"{_short(before)}, now {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"
