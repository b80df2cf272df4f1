"""The methods of CAREamics: on a stand-in for the worker, and (slow) on the real one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from baikal_evaluation.careamics import environment
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.methods._careamics import CAREamicsMethod
from baikal_evaluation.methods.base import Stack, Training, TrainingImages
from baikal_evaluation.methods.care import CARE
from baikal_evaluation.methods.n2v import N2V
from baikal_evaluation.methods.structn2v import StructN2V
from baikal_training.camera import add_noise
from baikal_training.simulate import simulate

STAND_IN = """
import json, os, signal, sys
from pathlib import Path
command, *values = sys.argv[1:]
if command == "versions":
    print(json.dumps({"careamics": "0.0"}))
    sys.exit()
import numpy as np
if command == "train":
    job = json.loads(Path(values[0]).read_text())
    output = Path(job["output"])
    with open(output.parent / "jobs.txt", "a") as jobs:
        means = {side: [float(np.load(path).mean()) for path in job[side]] for side in ("inputs", "targets")}
        jobs.write(json.dumps({**job, **means}) + "\\n")
    (output / "model.ckpt").write_text("0.5")
    mode = os.environ.get("STAND_IN")
    if mode == "crash":
        sys.exit("much output\\nRuntimeError: no more memory\\n\\n")
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
else:
    model, source, target = values
    np.save(target, np.load(source) * np.float32(Path(model).read_text()))
"""


@pytest.mark.parametrize(("scheme", "place"), [("posix_venv", "bin/python"), ("nt_venv", "Scripts/python")])
def test_python_of_an_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, place: str
) -> None:
    monkeypatch.setattr(environment, "SCHEME", scheme)
    assert environment.python_in(tmp_path).as_posix().replace("\\", "/") == f"{tmp_path.as_posix()}/{place}"


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker that notes its jobs in learnt/jobs.txt, and halves the contrast."""
    worker = tmp_path / "worker.py"
    worker.write_text(STAND_IN)
    monkeypatch.setattr(environment, "WORKER", worker)
    monkeypatch.setenv(environment.VARIABLE, sys.executable)
    return worker


def images(seed: int = 0, shape: tuple[int, int, int] = (2, 8, 12)) -> TrainingImages:
    rng = np.random.default_rng(seed)
    noisy = rng.normal(500, 20, shape).astype(np.float32)
    return TrainingImages((noisy, noisy[:1] + 100), (noisy * 2, noisy[:1] * 2))


def training(
    folder: Path, data: TrainingImages | None = None, minutes: float = 0.5, seed: int = 3
) -> Training:
    return Training(images() if data is None else data, minutes, seed, folder / "learnt")


def jobs(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "learnt" / "jobs.txt").read_text().splitlines()]


def finished(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "learnt").iterdir() if path.is_dir() and not path.suffix)


@pytest.mark.parametrize("method", [N2V, StructN2V, CARE])
def test_its_absence_is_one_line(
    method: type[CAREamicsMethod], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setattr(environment, "MADE", tmp_path)
    name = method.__name__.lower()
    with pytest.raises(EvaluationError) as caught:
        method().fit(training(tmp_path))
    assert str(caught.value) == (
        f"{name}: CAREamics is not set up; "
        "run make baselines, or name a Python that has it in BAIKAL_BASELINES"
    )
    assert not (tmp_path / "learnt").exists()


@pytest.mark.parametrize("named", ["missing", sys.executable])
def test_a_python_without_it_is_named(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real worker, in this Python."""
    monkeypatch.setenv(environment.VARIABLE, named)
    with pytest.raises(
        EvaluationError, match=f"^n2v: BAIKAL_BASELINES is {named}, which has no CAREamics; run"
    ):
        N2V().fit(training(tmp_path))


def test_a_training_gets_normalised_planes(stand_in: Path, tmp_path: Path) -> None:
    data = images()
    assert data.clean is not None
    CARE().fit(training(tmp_path, data))
    N2V().fit(training(tmp_path, data))
    care, n2v = jobs(tmp_path)
    assert (care["method"], care["minutes"], care["seed"]) == ("care", 0.5, 3)
    assert care["inputs"] == pytest.approx([0, 0], abs=1e-5)
    scaled = [(c.mean() - n.mean()) / n.std() for n, c in zip(data.noisy, data.clean, strict=True)]
    assert care["targets"] == pytest.approx(scaled, rel=1e-4)
    assert (n2v["method"], n2v["targets"]) == ("n2v", [])
    assert not list((tmp_path / "learnt").rglob("*.npy"))


def test_a_prediction_is_in_raw_units_and_in_order(stand_in: Path, tmp_path: Path) -> None:
    method = N2V().fit(training(tmp_path))
    noisy = np.random.default_rng(1).normal(1000, 50, (3, 5, 7)).astype(np.float32)
    found = method.denoise(noisy, None)
    assert (found.planes.dtype, found.planes.shape, found.nfe) == (np.float32, noisy.shape, 1)
    np.testing.assert_allclose(found.planes, noisy.mean() + 0.5 * (noisy - noisy.mean()), rtol=1e-5)


def test_an_image_of_one_value_stays(stand_in: Path, tmp_path: Path) -> None:
    flat = np.full((2, 8, 8), 7, np.float32)
    method = N2V().fit(training(tmp_path, TrainingImages((*images().noisy, flat))))
    assert len(jobs(tmp_path)[0]["inputs"]) == 2  # type: ignore[arg-type]
    np.testing.assert_array_equal(method.denoise(flat, None).planes, flat)
    with pytest.raises(EvaluationError, match="no training image holds more than one value"):
        N2V().fit(training(tmp_path, TrainingImages((flat,))))


def test_nothing_is_learnt_twice(stand_in: Path, tmp_path: Path) -> None:
    first = N2V().fit(training(tmp_path)).identity
    assert N2V().fit(training(tmp_path)).identity == first
    assert len(jobs(tmp_path)) == 1
    others = [training(tmp_path, images(1)), training(tmp_path, minutes=1), training(tmp_path, seed=4)]
    for count, other in enumerate(others, start=2):
        N2V().fit(other)
        assert len(jobs(tmp_path)) == count
    stand_in.write_text(stand_in.read_text(encoding="utf-8").replace('"0.0"', '"0.1"'), encoding="utf-8")
    assert N2V().fit(training(tmp_path)).identity["careamics"] == "0.1"
    assert len(jobs(tmp_path)) == 5
    assert {key: first[key] for key in ("careamics", "minutes", "seed")} == {
        "careamics": "0.0",
        "minutes": 0.5,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("mode", "reason"), [("crash", "RuntimeError: no more memory"), ("killed", "exit code -9")]
)
def test_a_training_that_failed_is_not_taken_for_a_finished_one(
    mode: str, reason: str, stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", mode)
    with pytest.raises(EvaluationError) as caught:
        N2V().fit(training(tmp_path))
    message, _, log = str(caught.value).partition("; the whole log is ")
    assert message == f"n2v: training by CAREamics failed: {reason}"
    assert Path(log).is_file()
    assert finished(tmp_path) == []
    monkeypatch.delenv("STAND_IN")
    N2V().fit(training(tmp_path))
    assert len(jobs(tmp_path)) == 2
    assert len(finished(tmp_path)) == 1


def test_a_prediction_that_failed_is_one_line(stand_in: Path, tmp_path: Path) -> None:
    method = N2V().fit(training(tmp_path))
    method.learnt.model.write_text("damaged")
    with pytest.raises(
        EvaluationError, match=r"^n2v: prediction by CAREamics failed: ValueError: .*'damaged'; the"
    ):
        method.denoise(images().noisy[0], None)


def test_before_it_has_learnt() -> None:
    with pytest.raises(EvaluationError, match="n2v: has learnt nothing; call fit first"):
        N2V().denoise(images().noisy[0], None)


def test_small_planes_are_refused(stand_in: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="n2v: training image 0 has planes of 7 x 30 pixels; leave out"):
        N2V().fit(training(tmp_path, images(shape=(1, 7, 30))))


def test_a_folder_that_cannot_be_written_to(stand_in: Path, tmp_path: Path) -> None:
    (tmp_path / "learnt").write_text("a file")
    with pytest.raises(EvaluationError, match=r"n2v: .*learnt: cannot be written to"):
        N2V().fit(training(tmp_path))


def simulated(seed: int, shape: tuple[int, int]) -> tuple[Stack, Stack]:
    """Noisy and clean planes, 12 dB apart, in counts."""
    clean = simulate("nuclei", (1, 3, *shape), seed)[0]
    return add_noise(clean, 12, seed) * 1000 + 300, clean * 1000 + 300


def psnr(planes: Stack, clean: Stack) -> float:
    return float(10 * np.log10(np.ptp(clean) ** 2 / np.mean((planes - clean) ** 2)))


@pytest.mark.slow
@pytest.mark.parametrize(("method", "gain"), [(N2V, 3), (StructN2V, 1), (CARE, 3)])
def test_they_learn_to_denoise(
    method: type[CAREamicsMethod], gain: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    if not environment.MADE.exists():
        pytest.skip("CAREamics is not set up: make baselines")
    noisy, clean = zip(*[simulated(seed, (64, 64 + 32 * seed)) for seed in range(3)], strict=True)
    fitted = method().fit(Training(TrainingImages(noisy, clean), 0.2, 0, tmp_path))
    seconds = json.loads((fitted.learnt.folder / "trained.json").read_text())["seconds"]
    assert 0.2 * 60 <= seconds < 0.2 * 60 + 6  # a step more, on a slow machine
    noise, truth = simulated(9, (70, 93))
    noise[1] += 500  # far above the others: the order shows
    found = fitted.denoise(noise, None)
    assert found.planes.dtype == np.float32
    assert found.planes.shape == noise.shape
    assert np.argmax(found.planes.mean((1, 2))) == 1
    noise, truth = simulated(9, (70, 93))
    assert psnr(fitted.denoise(noise, None).planes, truth) > psnr(noise, truth) + gain
    assert fitted.identity["careamics"]
