"""What baikal-train says while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from baikal_training.config import TrainingConfig
from baikal_training.data import Catalogue, Split
from baikal_training.loop import Step
from baikal_training.runs import Row, levels_in
from baikal_training.session import Definition
from baikal_training.unet import UNet, flops, parameters


def say(console: Console, text: str) -> None:
    """Print a line as it is: a log file must not be wrapped."""
    console.print(text, soft_wrap=True)


def report_left_out(console: Console, catalogue: Catalogue) -> None:
    """Say what was left out: nothing is in silence."""
    left_out = {
        "cannot be read": catalogue.skipped,
        "hold one value everywhere": catalogue.constant,
        "are copies of others": catalogue.duplicates,
    }
    for reason, names in left_out.items():
        if names:
            say(console, f"left out {len(names)} that {reason}, the first: {names[0]}")
    if catalogue.excluded:
        say(console, f"left out {len(catalogue.excluded)} that show what test images show:")
    for name in catalogue.excluded:
        say(console, f"left out {name}")


def introduce(console: Console, definition: Definition, parts: Split) -> None:
    counts = {
        part: (len(volumes), sum(v["planes"] for v in volumes)) for part, volumes in parts.as_dict().items()
    }
    text = ", ".join(f"{planes} planes of {n} volumes for {part}" for part, (n, planes) in counts.items())
    net = UNet(definition.unet)
    say(console, text)
    say(
        console,
        f"{parameters(net) / 1e6:.2f} million parameters, {flops(net) / 1e3:.0f} kFLOP per pixel, "
        f"{'bfloat16' if definition.config.bf16 else 'float32'}",
    )


@contextmanager
def progress(console: Console, config: TrainingConfig) -> Iterator[Any]:
    columns = (TextColumn("training"), BarColumn(), TextColumn("{task.fields[text]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=console.quiet) as bar:
        task = bar.add_task("training", total=1, text="")

        def report(step: Step, row: Row) -> None:
            text = f"iteration {step.iteration}  loss {row['loss']:.4f}  rate {row['learning_rate']:.1e}"
            text += f"  {row['crops_per_second']:.1f} crops/s"
            bar.update(task, completed=config.progress(step.iteration, step.seconds), text=text)
            if not console.is_terminal:  # a log file shows no bar
                say(console, text)

        yield report


def conclude(console: Console, record: dict[str, Any], output: Path, folder: Path) -> None:
    levels = record.get("test_psnr_db") or levels_in(record["final"])
    part = "test" if "test_psnr_db" in record else "validation"
    if levels:
        say(console, f"one-evaluation PSNR on {part} volumes, dB by noise level: {levels}")
    if record["start_psnr_db"] is not None:
        after = levels_in(record["final"])
        gains = [after[level] - before for level, before in record["start_psnr_db"].items()]
        mean = sum(gains) / len(gains)
        say(
            console,
            f"on validation volumes {mean:+.2f} dB in the mean against the model that it started from",
        )
    say(console, f"wrote {output}; the run is described in {folder}")
