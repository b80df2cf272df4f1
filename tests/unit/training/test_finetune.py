"""Fine-tuning to measured noise, from the noise to the model that knows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.measurement.noise_model import Kernel
from baikal_deploy.measurement.spectrum import REACH, autocovariance
from baikal_deploy.models.manifest import SCHEMA, read_manifest
from baikal_export.cli import main as export_main
from baikal_training.checkpoint import Checkpoint
from baikal_training.cli import main
from baikal_training.config import TrainingConfig
from baikal_training.data import Augmentation, CropDataset
from baikal_training.distributed import World
from baikal_training.loop import Trainer
from baikal_training.losses import Diffusion, Objective
from baikal_training.noise import MeasuredNoise, correlated
from baikal_training.runs import RunFolder
from baikal_training.samples import SampleDataset, TimestepSampler
from baikal_training.unet import UNet
from baikal_training.unet_config import UNetConfig
from tests.clean import clean_volumes, soft_plane, write_clean
from tests.models import tiny_net

torch.set_num_threads(1)

SIDE = 96
SCHEDULE = ScheduleSpec().build()
SMALL = "channels = [8, 16]\nblocks = [1, 1]\n"


def kernel_of(centre: list[float]) -> Kernel:
    values = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    values[REACH, REACH - len(centre) // 2 : REACH + len(centre) // 2 + 1] = centre
    return tuple(map(tuple, values.tolist()))


ROWS = kernel_of([0, 0.1, 0.4, 1, 0.4, 0.1, 0])
NOISE = MeasuredNoise("noisy.npy", "0" * 64, ROWS, 0.6)


def white(count: int, side: int = SIDE) -> torch.Tensor:
    return torch.randn((count, side, side), generator=torch.Generator().manual_seed(0))


def noisy_volume(path: Path, kernel: Kernel | None, strength: float = 30.0) -> Path:
    """Blobs of a height of 200 on 500, mostly dark, under noise."""
    clean = np.stack([soft_plane(seed, SIDE) for seed in range(4)]).astype(np.float32)
    noise = white(4) if kernel is None else correlated(white(4), kernel)
    np.save(path, 500 + 200 * (clean / 255) ** 4 + strength * noise.numpy())
    return path


@pytest.mark.parametrize(
    ("kernel", "shape"),
    [(ROWS, (64, 64)), (tuple(zip(*ROWS, strict=True)), (48, 80))],
    ids=["rows", "columns"],
)
def test_drawn_noise_has_the_autocorrelation(kernel: Kernel, shape: tuple[int, int]) -> None:
    drawn = correlated(torch.randn((60, *shape), generator=torch.Generator().manual_seed(1)), kernel)
    assert drawn.dtype == torch.float32
    everywhere = [np.ones(shape, dtype=bool)] * 60
    found, _ = autocovariance([plane.numpy() for plane in drawn], everywhere)
    np.testing.assert_allclose(found, kernel, atol=0.015)


def test_samples_are_the_same_with_that_noise() -> None:
    def dataset(noise: MeasuredNoise | None) -> SampleDataset:
        crops = CropDataset(clean_volumes(), 32, 0, Augmentation())
        return SampleDataset(crops, TimestepSampler(SCHEDULE, "denoising", noise), 0, noise)

    for index in range(3):
        (crop, _, drawn), (same_crop, _, white_noise) = dataset(NOISE)[index], dataset(None)[index]
        assert torch.equal(crop, same_crop)
        assert torch.equal(drawn, correlated(white_noise, ROWS))


def test_the_loop_trains_on_it() -> None:
    seen: list[torch.Tensor] = []

    class Listening(Diffusion):
        def loss(self, net: Any, x0: Any, t: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            seen.append(noise)
            assert 0.29 < SCHEDULE.noise_levels[t].min() <= SCHEDULE.noise_levels[t].max() < 1.22
            return super().loss(net, x0, t, noise)

    config = TrainingConfig(iterations=3, batch=8, crop=32)
    trainer = Trainer(tiny_net(), Listening(SCHEDULE, Objective()), SCHEDULE, config, World(), NOISE)
    assert len(list(trainer.steps(clean_volumes(), Augmentation(), workers=0))) == 3
    noise = torch.cat(seen)
    assert float((noise[..., 1:] * noise[..., :-1]).mean()) == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("kind", ["denoising", "uniform"])
def test_timesteps_stay_within_twice_the_level(kind: Any) -> None:
    sampler, rng = TimestepSampler(SCHEDULE, kind, NOISE), np.random.default_rng(0)
    levels = [SCHEDULE.noise_levels[sampler(rng)] for _ in range(4000)]
    assert min(levels) == pytest.approx(0.3, rel=0.02)
    assert max(levels) == pytest.approx(1.2, rel=0.02)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clean(tmp_path_factory.mktemp("data") / "clean")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network that has learnt nothing yet: it shrinks what it is given."""
    torch.manual_seed(0)
    net = UNet(UNetConfig(channels=(8, 16), blocks=(1, 1)))
    torch.nn.init.zeros_(net.head.bias)
    folder = tmp_path_factory.mktemp("first")
    (folder / "small.toml").write_text(SMALL)
    record = {"iterations": 0}
    checkpoint = Checkpoint(
        net.config, ScheduleSpec(), Objective(), Normalisation(), net.state_dict(), record
    )
    checkpoint.save(folder / "first.pt")
    return folder / "first.pt"


def tune(clean: Path, first: Path, output: Path, volume: Path, *options: object) -> Result:
    arguments = [
        clean, "-o", output, "--init", first, "--unet", first.with_name("small.toml"),
        "--finetune-noise", volume, "--iterations", 16, "--save-every", 4, "--report-every", 1,
        "--batch", 2, "--crop", 32, "--no-bf16", *options,
    ]  # fmt: skip
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def tuned(clean: Path, first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that was fine-tuned to the noise of noisy.npy beside it."""
    folder = tmp_path_factory.mktemp("tuned")
    result = tune(clean, first, folder / "tuned.pt", noisy_volume(folder / "noisy.npy", ROWS))
    assert result.exit_code == 0, result.stderr
    assert "correlation of neighbours 0.4" in result.stderr
    return folder / "tuned.pt"


def test_the_noise_is_measured_and_kept_in_the_record(tuned: Path) -> None:
    noise = Checkpoint.load(tuned).training["noise"]
    np.testing.assert_allclose(noise["correlation"], ROWS, atol=0.06)
    assert (
        0.01 < noise["level"] < 2
    )  # the range is what a network that has learnt nothing makes of the volume
    assert noise["volume"] == str(tuned.with_name("noisy.npy"))
    with Image.open(next((tuned.parent / "tuned_run" / "panels").iterdir())) as panel:
        assert panel.size[1] == 3 * 32  # no row of Repaint, which adds white noise


def test_resumed_fine_tuning_is_exact_and_measures_nothing_again(
    clean: Path, first: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = RunFolder.log

    def stopping(self: RunFolder, iteration: int, *rest: Any) -> None:
        if iteration == 11:
            raise ConfigError("stopped")
        log(self, iteration, *rest)

    volume, again = tuned.with_name("noisy.npy"), tmp_path / "again.pt"
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "log", stopping)
        assert "stopped" in tune(clean, first, again, volume).stderr
    monkeypatch.setattr("baikal_training.finetune.measure", None)
    resumed = tune(clean, first, again, volume, "--resume", "--workers", 1)
    assert resumed.exit_code == 0, resumed.stderr
    whole, found = Checkpoint.load(tuned), Checkpoint.load(again)
    assert all(torch.equal(found.ema[name], value) for name, value in whole.ema.items())
    assert found.training["noise"] == whole.training["noise"]


def test_resuming_with_another_volume_is_refused(
    clean: Path, first: Path, tuned: Path, tmp_path: Path
) -> None:
    other = noisy_volume(tmp_path / "other.npy", ROWS, 35.0)
    result = tune(clean, first, tuned, other, "--resume")
    assert "the run was started with other noise (" in refused(result)


def refused(result: Result) -> str:
    """The one line of an error."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_white_noise_is_refused(clean: Path, first: Path, tmp_path: Path) -> None:
    volume = noisy_volume(tmp_path / "white.npy", None)
    line = refused(tune(clean, first, tmp_path / "net.pt", volume))
    assert (
        f"--finetune-noise {volume}: its noise is white as far as can be told, and the model as it is" in line
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["white.npy"]


def test_a_checkpoint_to_start_from_is_needed(tmp_path: Path) -> None:
    arguments = [
        str(tmp_path / "not looked at"),
        "-o",
        str(tmp_path / "net.pt"),
        "--finetune-noise",
        "noisy.tif",
    ]
    line = refused(CliRunner().invoke(main, arguments))
    assert "--finetune-noise noisy.tif: fine-tunes a trained model; give it with --init" in line


def test_volumes_that_cannot_be_measured_are_refused(clean: Path, first: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", np.full((2, 32, 32), 7, np.uint16))
    np.savez(tmp_path / "pairs.npz", X=np.zeros((1, 1, 32, 32)), Y=np.zeros((1, 1, 32, 32)))
    for name, match in (
        ("gone.tif", "gone.tif: no such noisy volume"),
        ("flat.npy", "flat.npy: its noise is white as far as can be told"),
        ("pairs.npz", "pairs.npz: is training data of CARE, not a noisy volume"),
    ):
        assert match in refused(tune(clean, first, tmp_path / "net.pt", tmp_path / name))


@pytest.fixture(scope="module")
def model(tuned: Path) -> Path:
    path = tuned.with_suffix(".onnx")
    result = CliRunner().invoke(export_main, [str(tuned), "-o", str(path)])
    assert result.exit_code == 0, result.output
    return path


def test_export_hands_the_autocorrelation_on(tuned: Path, first: Path, model: Path) -> None:
    manifest = read_manifest(model)
    assert manifest.noise_correlation == Checkpoint.load(tuned).noise_correlation
    assert json.loads(manifest.to_json())["schema"] == SCHEMA
    assert manifest.verification["denoised"]["sampler"] == "matched"
    assert Checkpoint.load(first).noise_correlation is None
