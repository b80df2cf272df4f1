"""Spatially Adaptive SSID: what its networks see, what they minimise, and what they learn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods import ssid
from baikal_evaluation.methods.base import Stack, Training, TrainingImages
from baikal_evaluation.methods.ssid import SSID
from baikal_evaluation.ssid import training
from baikal_evaluation.ssid.losses import (
    FLAT,
    NOISE,
    TEXTURED,
    WINDOW,
    bnn_loss,
    lan_loss,
    local_std,
    texture,
    unet_loss,
)
from baikal_evaluation.ssid.networks import BlindNeighbourhood, Denoiser, LocallyAware
from baikal_evaluation.ssid.training import BATCH, CROP, at_least, crops, learn, train
from baikal_training.camera import Camera, add_noise
from baikal_training.simulate import simulate

SIDE = 48


def double(net: nn.Module) -> nn.Module:
    """In float64, with weights at which every path from input to output counts."""
    generator = torch.Generator().manual_seed(0)
    for weights in net.parameters():
        weights.data = torch.rand(weights.shape, generator=generator) / math.sqrt(weights[0].numel())
    return net.double()


def plane(seed: int = 1) -> Tensor:
    return torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen_by_gradient(net: nn.Module, y: int, x: int) -> Tensor:
    """Which pixels of the input (SIDE, SIDE) the output at one pixel depends on."""
    noisy = plane().requires_grad_()
    net(noisy)[0, 0, y, x].backward()
    return noisy.grad[0, 0] != 0


# Different places in the pooling cells, and beside the border.
PLACES = [(20, 23), (21, 24), (24, 21), (23, 16), (3, 47)]


@pytest.mark.parametrize(("y", "x"), PLACES)
@pytest.mark.parametrize("depth", [1, 3, 4])
def test_bnn_sees_all_but_a_square_of_nine_by_nine(y: int, x: int, depth: int) -> None:
    seen = seen_by_gradient(double(BlindNeighbourhood(3, depth)), y, x)
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    distance = torch.maximum((rows - y).abs(), (columns - x).abs())
    assert not seen[distance <= 4].any()
    # Max pooling passes on one of four pixels to the coarser levels, but the finest sees these all. (Four of
    # its convolutions reach 4 pixels sideways, not to the corners.)
    nearest = torch.minimum((rows - y).abs(), (columns - x).abs())
    assert seen[(distance == 5) & (nearest <= 4)].all()


def test_bnn_by_finite_differences() -> None:
    net = double(BlindNeighbourhood(3, 4))
    noisy = plane()
    before = net(noisy)[0, 0, 20, 23]
    inside = noisy.clone()
    inside[0, 0, 16:25, 19:28] += 3
    assert torch.equal(net(inside)[0, 0, 20, 23], before)
    for row, column in ((15, 19), (15, 27), (25, 23), (20, 18), (24, 28)):
        outside = noisy.clone()
        outside[0, 0, row, column] += 3
        assert net(outside)[0, 0, 20, 23] != before, (row, column)


@pytest.mark.parametrize(("y", "x"), PLACES[:2])
def test_lan_sees_three_by_three_pixels(y: int, x: int) -> None:
    seen = seen_by_gradient(double(LocallyAware(3, 2)), y, x)
    expected = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    expected[y - 1 : y + 2, x - 1 : x + 2] = True
    assert torch.equal(seen, expected)


def test_the_denoiser_sees_the_pixel_itself_and_both_sides() -> None:
    seen = seen_by_gradient(double(Denoiser(3, 3)), 20, 23)
    assert seen[18:23, 21:26].all()


def test_planes_that_are_not_square() -> None:
    wide = torch.zeros(2, 1, 32, 48)
    for net in (BlindNeighbourhood(3, 4), LocallyAware(3, 2), Denoiser(3, 4)):
        assert net(wide).shape == wide.shape


def test_local_std() -> None:
    x = np.random.default_rng(0).normal(100, 3, (12, 15))
    found = local_std(torch.from_numpy(x)[None, None])[0, 0].numpy()
    around = np.pad(x, WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(around, (WINDOW, WINDOW))
    np.testing.assert_allclose(found, windows.std(axis=(2, 3)), rtol=1e-9)


def test_local_std_of_a_small_deviation_on_a_high_level() -> None:
    x = torch.full((1, 1, 16, 16), 1000.0)
    x[..., ::2, :] += 0.01
    assert local_std(x)[0, 0, 8, 8].item() == pytest.approx(0.01 * math.sqrt(12 / 49), rel=0.02)


def stripes(std: float) -> Tensor:
    """Local standard deviation ``std`` away from the border: rows of 7 form 3 to 4."""
    bnn = torch.zeros(1, 1, 32, 32, dtype=torch.float64)
    bnn[..., ::2, :] = std / math.sqrt(12 / 49)
    return bnn


@pytest.mark.parametrize("unit", [1.0, 0.01])
@pytest.mark.parametrize(
    ("std", "exponent"), [(0.0, -1.0), (0.4, -0.6), (1.0, 0.0), (3.0, 0.0), (5.0, 0.0), (7.5, 2.5)]
)
def test_adaptive_coefficient(std: float, exponent: float, unit: float) -> None:
    assert (FLAT, TEXTURED) == (1, 5)
    bnn = stripes(std)
    noise = NOISE * torch.ones_like(bnn)
    noise[..., ::2] *= -1
    alpha = texture(unit * bnn, unit * (bnn + noise))
    expected = 1 / (1 + math.exp(-exponent))
    assert alpha[0, 0, 16, 16].item() == pytest.approx(expected, abs=1e-6)


def test_noise_is_measured_in_every_plane_by_itself() -> None:
    bnn = stripes(7.5).repeat(2, 1, 1, 1)
    noisy = bnn + torch.tensor([NOISE, 100 * NOISE]).reshape(2, 1, 1, 1)
    alpha = texture(bnn, noisy)[:, 0, 16, 16]
    assert alpha.tolist() == pytest.approx([1 / (1 + math.exp(-2.5)), 1 / (1 + math.exp(1 - 0.075))])


def test_a_plane_that_bnn_reproduces_has_a_finite_coefficient() -> None:
    alpha = texture(stripes(0.0), stripes(0.0))
    assert alpha[0, 0, 16, 16].item() == pytest.approx(1 / (1 + math.e))


def test_losses() -> None:
    def of(*values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)

    bnn, lan, unet, alpha = of(1, 2), of(4, 2), of(2, -1), of(0.25, 0.5)
    assert bnn_loss(bnn, of(0, 5)).item() == pytest.approx((1 + 3) / 2)
    assert lan_loss(lan, bnn, alpha).item() == pytest.approx(0.75 * 3 / 2)
    expected = (0.75 * 1 + 0.25 * 2 + 0.5 * 3 + 0.5 * 3) / 2
    assert unet_loss(unet, bnn, lan, alpha).item() == pytest.approx(expected)


def test_crops_are_turned_and_flipped_pieces_of_the_planes() -> None:
    rng = np.random.default_rng(0)
    planes = [np.arange(80 * 70, dtype=np.float32).reshape(80, 70), rng.random((CROP, CROP), np.float32)]
    batches = crops(planes, np.random.default_rng(0))
    steps = set()
    for crop in torch.cat([next(batches) for _ in range(20)])[:, 0].numpy():
        assert crop.shape == (CROP, CROP)
        if crop.max() > 1:
            steps.add((crop[1, 0] - crop[0, 0], crop[0, 1] - crop[0, 0]))
    assert steps == {step for a in (1, -1) for b in (70, -70) for step in ((a, b), (b, a))}


def test_small_planes_are_reflected_to_a_crop() -> None:
    small = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert next(crops([small], np.random.default_rng(0))).shape == (BATCH, 1, CROP, CROP)
    np.testing.assert_array_equal(at_least(small[None], 4, 3)[0, :, 0], [0, 3, 0, 3])
    np.testing.assert_array_equal(at_least(small[None], 1, 5)[0, 0], [0, 1, 2, 1, 0])


def test_training_lowers_the_loss_at_a_falling_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    tick(monkeypatch)
    net = nn.Conv2d(1, 1, 1)
    rates = []
    adam = torch.optim.Adam.step

    def step(optimiser: torch.optim.Adam) -> None:
        rates.append(optimiser.param_groups[0]["lr"])
        adam(optimiser)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    batches = crops([np.ones((CROP, CROP), np.float32)], np.random.default_rng(0))
    losses = train(net, lambda noisy: (net(noisy) - 3).abs().mean(), batches, 100.0)
    assert len(losses) == len(rates) == 100
    assert losses[-1] < losses[0] - 0.1
    assert rates[0] == training.LEARNING_RATE
    assert rates[50] == pytest.approx(training.LEARNING_RATE / 2)
    assert rates == sorted(rates, reverse=True)
    assert not net.weight.requires_grad


def test_a_loss_that_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Conv2d(1, 1, 1)
    batches = crops([np.ones((CROP, CROP), np.float32)], np.random.default_rng(0))
    with pytest.raises(EvaluationError, match=r"ssid: the loss became nan at step 1"):
        train(net, lambda noisy: net(noisy).mean() * float("nan"), batches, 1.0)


# --- The method


def tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on which a step takes a second."""
    monkeypatch.setattr(training, "process_time", itertools.count().__next__)


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WIDTH": 8, "DEPTH": 2, "LAN_WIDTH": 8, "LAN_BLOCKS": 1}.items():
        monkeypatch.setattr(training, name, value)
    monkeypatch.setattr(ssid, "WIDTH", 8)
    monkeypatch.setattr(ssid, "DEPTH", 2)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks, and a step of each stage for every third of a minute."""
    small(monkeypatch)
    tick(monkeypatch)


def noisy_images(count: int = 1, seed: int = 0) -> tuple[Stack, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(500, 20, (2, 70, 66)).astype(np.float32) for _ in range(count))


def task(folder: Path, images: tuple[Stack, ...], minutes: float = 0.1, seed: int = 0) -> Training:
    return Training(TrainingImages(images), minutes, seed, folder)


def psnr(image: Stack, clean: Stack) -> float:
    return float(-10 * np.log10(np.mean((image - clean) ** 2)))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("shape", [(3, 33, 50), (1, 1, 7), (2, 64, 64)])
def test_any_plane_in_its_order_and_units(shape: tuple[int, int, int], tmp_path: Path) -> None:
    method = SSID().fit(task(tmp_path, noisy_images()))
    noisy = np.random.default_rng(1).normal(3e4, 1e3, shape).astype(np.float32)
    noisy += np.float32(1e3) * np.arange(shape[0], dtype=np.float32)[:, None, None]
    kept = noisy.copy()
    prediction = method.denoise(noisy, None)
    assert prediction.planes.shape == shape
    assert prediction.planes.dtype == np.float32
    assert prediction.nfe == 1
    np.testing.assert_array_equal(noisy, kept)
    # Another gain and offset change nothing but the units.
    np.testing.assert_allclose(
        method.denoise(noisy / 8 + 100, None).planes, prediction.planes / 8 + 100, rtol=1e-5
    )


def test_the_network_of_an_identity_gives_the_image_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    method = SSID().fit(task(tmp_path, noisy_images()))
    monkeypatch.setattr(method.learnt[0], "forward", lambda x: x)
    noisy = np.random.default_rng(1).normal(3e4, 1e3, (4, 33, 50)).astype(np.float32)
    np.testing.assert_allclose(method.denoise(noisy, None).planes, noisy, rtol=1e-6)


@pytest.mark.usefixtures("quick")
def test_an_image_of_one_value_is_given_back(tmp_path: Path) -> None:
    method = SSID().fit(task(tmp_path, noisy_images()))
    flat = np.full((2, 20, 20), 7, np.float32)
    np.testing.assert_array_equal(method.denoise(flat, None).planes, flat)


@pytest.mark.usefixtures("quick")
def test_the_same_seed_learns_the_same(tmp_path: Path) -> None:
    methods = []
    for index, seed in enumerate([3, 3, 4]):
        torch.rand(1)  # whatever others drew before
        state = torch.get_rng_state()
        methods.append(SSID().fit(task(tmp_path / str(index), noisy_images(), seed=seed)))
        assert torch.equal(torch.get_rng_state(), state)
    first, same, other = (method.identity for method in methods)
    assert first == same
    assert first["weights"] != other["weights"]
    assert (first["seed"], other["seed"]) == (3, 4)
    assert first["minutes"] == 0.1


def test_nothing_is_learnt_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    learnt: list[float] = []

    def counted(planes: list[Stack], seconds: float, seed: int) -> Denoiser:
        learnt.append(seconds)
        return learn(planes, seconds, seed)

    monkeypatch.setattr(ssid, "learn", counted)
    first = SSID().fit(task(tmp_path, noisy_images()))
    again = SSID().fit(task(tmp_path, noisy_images()))
    assert learnt == [pytest.approx(6)]
    assert again.identity == first.identity
    noisy = noisy_images(seed=5)[0]
    np.testing.assert_array_equal(again.denoise(noisy, None).planes, first.denoise(noisy, None).planes)
    for other in (
        task(tmp_path, noisy_images(seed=1)),
        task(tmp_path, noisy_images(), minutes=0.2),
        task(tmp_path, noisy_images(), seed=1),
    ):
        SSID().fit(other)
    monkeypatch.setattr(ssid, "VERSION", 0)
    SSID().fit(task(tmp_path, noisy_images()))
    assert len(learnt) == 5
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.usefixtures("quick")
def test_a_damaged_file(tmp_path: Path) -> None:
    SSID().fit(task(tmp_path, noisy_images()))
    (path,) = tmp_path.glob("*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EvaluationError, match=rf"ssid: {path}: .* delete the file"):
        SSID().fit(task(tmp_path, noisy_images()))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match=r"ssid: .*file/learnt: cannot be written to"):
        SSID().fit(task(tmp_path / "file" / "learnt", noisy_images()))


def holed() -> Stack:
    image = noisy_images()[0]
    image[1, 3, 4] = np.nan
    return image


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ((), "no training image holds more than one value"),
        ((np.ones((2, 9, 9), np.float32),), "no training image holds more than one value"),
        ((*noisy_images(), holed()), "training image 1 holds NaN"),
    ],
)
def test_images_that_nothing_can_be_learnt_from(
    images: tuple[Stack, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match=f"ssid: {message}"):
        SSID().fit(task(tmp_path, images))


@pytest.mark.usefixtures("quick")
def test_an_image_with_holes(tmp_path: Path) -> None:
    method = SSID().fit(task(tmp_path, noisy_images()))
    with pytest.raises(EvaluationError, match="ssid: the image holds NaN"):
        method.denoise(holed(), None)


@pytest.mark.parametrize(
    "use", [lambda method: method.identity, lambda method: method.denoise(holed(), None)]
)
def test_before_fit(use: Callable[[SSID], object]) -> None:
    with pytest.raises(EvaluationError, match="ssid: has learnt nothing; call fit first"):
        use(SSID())


def test_a_few_seconds_of_learning_denoise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    clean = simulate("planaria", (1, 4, 96, 96), 0)[0]
    noisy = add_noise(clean, 5, 0)
    method = SSID().fit(task(tmp_path, (noisy[:3],), minutes=0.1))
    denoised = method.denoise(noisy[3:], None).planes
    assert psnr(denoised, clean[3:]) > psnr(noisy[3:], clean[3:]) + 5


@pytest.mark.slow
@pytest.mark.parametrize("correlated", [0.0, 0.7])
def test_two_minutes_on_embryos(correlated: float, tmp_path: Path) -> None:
    clean = [simulate("tribolium", (1, 8, 256, 256), seed)[0] for seed in range(4)]
    cameras = [Camera.at_psnr(image, 12, correlated) for image in clean]
    noisy = [
        ((camera.expose(image, seed) - camera.offset) / (camera.gain * camera.photons)).astype(np.float32)
        for seed, (camera, image) in enumerate(zip(cameras, clean, strict=True))
    ]
    method = SSID().fit(task(tmp_path, tuple(noisy[:3]), minutes=2))
    denoised = method.denoise(noisy[3], None).planes
    assert psnr(denoised, clean[3]) > psnr(noisy[3], clean[3]) + 7
