"""The density of the images that a model was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from baikal_deploy.measurement.structure.density import Density
from baikal_deploy.measurement.structure.known import Known
from baikal_deploy.measurement.structure.recognised import recognise
from baikal_training import seen as module
from baikal_training.data import open_clean
from baikal_training.losses import Diffusion
from baikal_training.seen import seen
from baikal_training.simulate import simulate
from tests.models import tiny_checkpoint

torch.set_num_threads(1)


class Perfect(Diffusion):
    """Estimates without the network: the noisy crop as it is."""

    def predict_x0(self, eps: torch.Tensor, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return x_t


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOWS", 6)
    monkeypatch.setattr(module, "SIGMAS", (0.02,))


@pytest.mark.usefixtures("small")
def test_images_like_those_of_the_training_are_known(tmp_path: Path) -> None:
    for seed in range(2):
        np.save(tmp_path / f"{seed}.npy", simulate("flywing", (1, 1, 256, 256), seed)[0].astype(np.float32))
    checkpoint = tiny_checkpoint()
    schedule = checkpoint.schedule.build()
    volumes = open_clean([tmp_path], checkpoint.normalisation).volumes
    record = seen(volumes, checkpoint.network(), Perfect(schedule, checkpoint.objective), schedule)
    assert record is not None
    own = Known(density=Density.from_record(record))
    other = simulate("flywing", (1, 1, 256, 256), 9)[0, 0].astype(np.float32)
    nuclei = simulate("nuclei", (1, 1, 256, 256), 9)[0, 0].astype(np.float32)
    assert own.judge(recognise([other])) == "known"
    assert own.judge(recognise([nuclei])) == "unseen"


@pytest.mark.usefixtures("small")
def test_the_same_each_time_and_in_one_evaluation_of_the_network(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", simulate("flywing", (1, 1, 160, 160), 1)[0].astype(np.float32))
    checkpoint = tiny_checkpoint()
    schedule = checkpoint.schedule.build()
    volumes = open_clean([tmp_path], checkpoint.normalisation).volumes
    diffusion = Diffusion(schedule, checkpoint.objective)
    first, second = (seen(volumes, checkpoint.network(), diffusion, schedule) for _ in range(2))
    assert first is not None
    assert first == second
