"""Base of the methods of CAREamics: a U-Net for single planes, trained and run by its own Python.

Every image is shifted by its own mean and scaled by its own standard deviation, so that images of
other cameras and gains can be learnt from and denoised.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock

from baikal_deploy.host.moves import move, remove_folder
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_evaluation.careamics.environment import Environment
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods.base import Method, Prediction, Stack, Training, TrainingImages

SMALLEST = 8
"""Side of a plane, in pixels, that a training needs at least."""


@dataclass(frozen=True)
class Learnt:
    """Trained network.

    Attributes:
        environment: that it was trained in.
        folder: holds it.
        training: what it learnt from, and how.
    """

    environment: Environment
    folder: Path
    training: Training

    @property
    def model(self) -> Path:
        """Path of the checkpoint."""
        return self.folder / "model.ckpt"


class CAREamicsMethod(Method):
    """Method that the worker knows by the name of this class's module."""

    _learnt: Learnt | None = None

    @property
    def name(self) -> str:
        """Name of the class's module."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def learnt(self) -> Learnt:
        """Network that ``fit`` has trained or found.

        Raises:
            EvaluationError: ``fit`` was not called.
        """
        if self._learnt is None:
            raise EvaluationError(f"{self.name}: has learnt nothing; call fit first")
        return self._learnt

    def fit(self, training: Training) -> Self:
        environment = Environment.find(self.name)
        key = training.key(f"{self.name} {environment.versions}")
        folder = training.folder / f"{self.name}-{key}"
        try:
            training.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_suffix(".lock")):  # another process may learn the same
                if not folder.is_dir():
                    self._train(training, environment, folder)
        except OSError as error:
            raise EvaluationError(
                f"{self.name}: {training.folder}: cannot be written to ({error.strerror or error}); "
                f"free space, or choose another folder"
            ) from error
        self._learnt = Learnt(environment, folder, training)
        return self

    def _train(self, training: Training, environment: Environment, folder: Path) -> None:
        """Make the folder, in one step when all is in it."""
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a killed training
        planes = partial / "planes"
        planes.mkdir(parents=True)
        job = {
            "method": self.name,
            **self._write_planes(training.images, planes),
            "minutes": training.minutes,
            "seed": training.seed,
            "output": str(partial),
        }
        (partial / "job.json").write_text(json.dumps(job), encoding="utf-8")
        log = folder.with_suffix(".log")
        environment.run(f"{self.name}: training", log, "train", partial / "job.json")
        remove_folder(planes)
        move(partial, folder)

    def _write_planes(self, images: TrainingImages, folder: Path) -> dict[str, list[str]]:
        """Normalised images as files. One of a single value is left out: nothing can be learnt from it."""
        clean = images.clean if self.NEEDS == "pairs" else None
        files: dict[str, list[str]] = {"inputs": [], "targets": []}
        for index, noisy in enumerate(images.noisy):
            if min(noisy.shape[1:]) < SMALLEST:
                raise EvaluationError(
                    f"{self.name}: training image {index} has planes of {noisy.shape[1]} x {noisy.shape[2]} "
                    f"pixels; leave out what is smaller than {SMALLEST} x {SMALLEST}"
                )
            scale = _scale(noisy)
            if scale.is_constant:
                continue
            sides = {"inputs": noisy} if clean is None else {"inputs": noisy, "targets": clean[index]}
            for side, stack in sides.items():
                path = folder / f"{side}{index}.npy"
                np.save(path, scale.normalise(stack))
                files[side].append(str(path))
        if not files["inputs"]:
            raise EvaluationError(f"{self.name}: no training image holds more than one value; give others")
        return files

    @property
    def identity(self) -> dict[str, Any]:
        learnt = self.learnt
        return {
            **learnt.environment.versions,
            "minutes": learnt.training.minutes,
            "seed": learnt.training.seed,
            "weights": hashlib.sha256(learnt.model.read_bytes()).hexdigest(),
        }

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        learnt, scale = self.learnt, _scale(noisy)
        if scale.is_constant:
            return Prediction(noisy.copy())
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "noisy.npy"), Path(folder, "denoised.npy")
            np.save(source, scale.normalise(noisy))
            log = learnt.folder.with_suffix(".log")
            learnt.environment.run(f"{self.name}: prediction", log, "predict", learnt.model, source, target)
            return Prediction(scale.denormalise(np.load(target), np.float32), nfe=1)


def _scale(stack: Stack) -> IntensityMap:
    mean, deviation = stack.mean(dtype=np.float64), stack.std(dtype=np.float64)
    return IntensityMap(float(mean - deviation), float(mean + deviation))
