"""Training and prediction with CAREamics, run by the Python of its own environment.

A script, not a module: it knows nothing of this project, and files are all that goes in and out.

    python worker.py versions              prints the versions that decide a result, as JSON
    python worker.py train job.json        see Job; writes model.ckpt and trained.json into the output folder
    python worker.py predict MODEL IN OUT  a checkpoint, and .npy files of planes (N, H, W)
"""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

PACKAGES = ("careamics", "lightning", "torch")
DEPTH = 2
CHANNELS = 32
"""Of the U-Net's first level. It and the depth are CAREamics's defaults."""
PATCH = 64
BATCH = 16
LEARNING_RATE = 1e-3
MASKED = 2.0
"""Percentage of a patch's pixels that N2V predicts. CAREamics's default is 0.2; in little CPU time it learns
more from more of them."""
STRUCT_AXES, STRUCT_SPAN = "horizontal", 5
"""What structN2V hides beside each of them: two pixels on either side in its row, as far as noise along rows
is correlated. The paper hides a square of 5 x 5, which CAREamics has too ("square"), but with it a network
learns far less in the same CPU time."""


@dataclass(frozen=True)
class Job:
    """A training.

    Attributes:
        method: n2v, structn2v or care.
        inputs: .npy files of normalised float32 planes (N, H, W), each at least 8 x 8.
        targets: as many, of the same shapes; for care alone.
        minutes: CPU time of the learning; the imports before it do not count.
        seed: of everything random. What is learnt still depends on the machine's speed.
        output: an existing folder.
    """

    method: str
    inputs: list[str]
    targets: list[str]
    minutes: float
    seed: int
    output: str


def train(job: Job) -> None:
    lightning, _ = import_careamics()
    from careamics.lightning import CareamicsDataModule
    from careamics.lightning.modules import create_module
    from careamics.models import get_model_constraints

    inputs = [np.load(path) for path in job.inputs]
    settings = configuration(job, min(min(stack.shape[1:]) for stack in inputs))
    lightning.pytorch.seed_everything(job.seed, verbose=False)
    module = create_module(settings.algorithm_config)
    data = CareamicsDataModule(
        data_config=settings.data_config,
        train_data=inputs,
        train_data_target=[np.load(path) for path in job.targets] or None,
        model_constraints=get_model_constraints(settings.algorithm_config.model),
    )
    budget = budget_callback(job.minutes * 60)
    trainer = lightning.Trainer(
        accelerator="cpu",
        callbacks=[budget],
        max_epochs=-1,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    output = Path(job.output)
    trainer.save_checkpoint(output / "model.ckpt", weights_only=True)
    (output / "trained.json").write_text(
        json.dumps({"steps": trainer.global_step, "seconds": budget.used()}), encoding="utf-8"
    )


def configuration(job: Job, smallest_side: int) -> Any:
    """CAREamics's configuration: its defaults, but for the names above and what the CPU time replaces."""
    from careamics.config.factories import create_advanced_care_config, create_advanced_n2v_config

    patch = min(PATCH, 2 ** (smallest_side.bit_length() - 1))
    common: dict[str, Any] = {
        "experiment_name": job.method,
        "data_type": "array",
        "axes": "SYX",
        "patch_size": [patch, patch],
        "batch_size": BATCH,
        "normalization": "none",
        "n_val_patches": 0,
        "num_workers": 0,
        "model_params": {"depth": DEPTH, "num_channels_init": CHANNELS},
        "optimizer_params": {"lr": LEARNING_RATE},
        "lr_scheduler": "StepLR",  # does nothing; the default one asks for a validation loss
        "lr_scheduler_params": {"step_size": 2**31},
        "seed": job.seed + 1,  # CAREamics refuses 0
    }
    if job.method == "care":
        return create_advanced_care_config(**common)
    if job.method == "structn2v":
        # No flips and turns, as CAREamics has it: they would turn the noise's direction.
        common |= {"struct_n2v_axes": STRUCT_AXES, "struct_n2v_span": STRUCT_SPAN, "augmentations": []}
    common |= {"masked_pixel_percentage": MASKED, "monitor_metric": "train_loss"}
    return create_advanced_n2v_config(**common)


def budget_callback(seconds: float) -> Any:
    """A Lightning callback that ends the training and lowers the learning rate by the CPU time used."""
    from lightning.pytorch import Callback

    class Budget(Callback):  # type: ignore[misc]
        started = 0.0

        def used(self) -> float:
            return time.process_time() - self.started

        def on_train_start(self, trainer: Any, module: Any) -> None:
            self.started = time.process_time()

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            left = max(0.0, 1 - self.used() / seconds)
            for group in trainer.optimizers[0].param_groups:
                group["lr"] = LEARNING_RATE * left

        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            trainer.should_stop = self.used() >= seconds

    return Budget()


def predict(model: str, source: str, target: str) -> None:
    """Whole planes, mirrored at their edges up to what the network can halve."""
    _, torch = import_careamics()
    from careamics.lightning import load_module_from_checkpoint

    network = load_module_from_checkpoint(model).eval()
    planes = np.load(source)
    pad = [(0, -side % 2**DEPTH) for side in planes.shape[1:]]
    denoised = np.empty_like(planes)
    with torch.inference_mode():
        for index, plane in enumerate(planes):
            mirrored = torch.from_numpy(np.pad(plane, pad, mode="reflect"))
            height, width = plane.shape
            denoised[index] = network(mirrored[None, None])[0, 0, :height, :width].numpy()
    np.save(target, denoised)


def import_careamics() -> tuple[Any, Any]:
    """Lightning and torch, on one thread, with CAREamics ready for import.

    CAREamics imports torchvision for networks and exports that are not used here. No torchvision on
    PyPI works beside a CPU build of torch on Linux, so an empty module takes its place.
    """
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import lightning
    import torch
    import torchmetrics  # noqa: F401  # looks for torchvision, and must not find the empty one

    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):  # not there; built for another torch
        parts = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
        sys.modules.update({name: ModuleType(name) for name in parts})
        sys.modules["torchvision"].__dict__["__version__"] = "none"
    torch.set_num_threads(1)
    return lightning, torch


def main(command: str, *values: str) -> None:
    if command == "versions":
        print(json.dumps({name: version(name) for name in PACKAGES}))
    elif command == "train":
        train(Job(**json.loads(Path(values[0]).read_text(encoding="utf-8"))))
    else:
        predict(*values)


if __name__ == "__main__":
    main(*sys.argv[1:])
