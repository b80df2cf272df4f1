"""The diffusion model of a data set, learnt from the clean side alone by the commands that users have."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from baikal_deploy.host.moves import move
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods.base import Training

CROP = 64
VERSION = "1"
"""Version of how a prior learns; another one means learning again."""


def learn_prior(training: Training) -> Path:
    """Train and export a model, or find the one that was learnt from the same before.

    Args:
        training: of the data set; it has a clean side.

    Returns:
        The .onnx file.

    Raises:
        EvaluationError: a command failed; with its last line.
    """
    assert training.images.clean is not None, "a prior is learnt from clean images"
    target = training.folder / f"prior-{training.key(f'prior {VERSION}')}.onnx"
    if target.exists():
        return target
    training.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=training.folder) as name:
        folder = Path(name)
        (folder / "clean").mkdir()
        for index, stack in enumerate(training.images.clean):
            np.save(folder / "clean" / f"{index:05d}.npy", stack)
        checkpoint, exported = folder / "prior.pt", folder / "prior.onnx"
        options = (
            f"--split 100:0:0 --crop {CROP} --minutes {training.minutes} --clock cpu --seed {training.seed}"
        )
        _run("baikal-train", folder / "clean", "-o", checkpoint, *options.split())
        _run("baikal-export", checkpoint, "-o", exported)
        move(exported, target)
    return target


def _run(command: str, *arguments: object) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name(command), *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise EvaluationError(f"training of the prior: {command} failed: {''.join(last)}")
