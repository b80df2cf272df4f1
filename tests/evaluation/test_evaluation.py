"""Every method on every pair: what is kept, what fails, what it costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baikal_deploy.errors import BaikalError
from baikal_evaluation.errors import EvaluationError
from baikal_evaluation.evaluation import Candidate, candidates, evaluate, panel
from baikal_evaluation.methods import Model, Spec
from baikal_evaluation.methods._careamics import CAREamicsMethod
from baikal_evaluation.methods.base import Method, Prediction, Stack, Training, TrainingImages
from baikal_evaluation.metrics import AUTHORS, score
from baikal_evaluation.output import results_of, write_results
from baikal_evaluation.pairs import Pair, find_pairs
from baikal_evaluation.store import Store


@dataclass
class Half(Method):
    """Halves the image; with a guide, the guide."""

    identity_value: int = 0
    calls: list[Any] = field(default_factory=list)

    @property
    def identity(self) -> dict[str, Any]:
        return {"value": self.identity_value}

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        self.calls.append((clean, guide))
        return Prediction((noisy if guide is None else guide) / 2, 3)


class Spoils(Half):
    """Fails on the n-th image that it gets, in a way of its own."""

    def __init__(self, nth: int, how: Any) -> None:
        super().__init__()
        self.nth, self.how = nth, how

    def denoise(self, noisy: Stack, clean: Stack | None, guide: Stack | None = None) -> Prediction:
        prediction = super().denoise(noisy, clean, guide)
        return self.how(prediction.planes) if len(self.calls) == self.nth else prediction


class Peeks(Half):
    ORACLE = True


def fails(planes: Stack) -> Prediction:
    raise EvaluationError("spoils: does not like this image; leave it out")


def crashes(planes: Stack) -> Prediction:
    raise ZeroDivisionError("in a library")


def gives_nan(planes: Stack) -> Prediction:
    planes[0, 0, 0] = np.nan
    return Prediction(planes)


def cuts(planes: Stack) -> Prediction:
    return Prediction(planes[:, 1:])


@pytest.fixture
def pairs(pairs_folder: Path) -> list[Pair]:
    return find_pairs(pairs_folder)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "predictions")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (fails, "does not like this image"),
        (crashes, "ZeroDivisionError: in a library"),
        (gives_nan, "predicted NaN or infinite values"),
        (cuts, "predicted planes of shape"),
    ],
)
def test_what_fails_on_one_image_is_told_and_the_rest_goes_on(
    pairs: list[Pair], store: Store, how: Any, words: str
) -> None:
    tried = [Candidate("spoils", Spoils(2, how)), Candidate("half", Half())]
    rows = list(evaluate(pairs, tried, store, AUTHORS))
    assert [row.method for row in rows] == ["spoils", "half"] * 3
    bad = [row for row in rows if row.error is not None]
    assert [(row.image, row.method) for row in bad] == [(pairs[1].name, "spoils")]
    assert words in str(bad[0].error)
    assert all(row.psnr is not None for row in rows if row.error is None)


def test_rows_hold_the_metrics_of_what_was_predicted(pairs: list[Pair], store: Store) -> None:
    for pair, row in zip(pairs, evaluate(pairs, [Candidate("half", Half())], store, AUTHORS), strict=True):
        noisy, clean = pair.read()
        assert clean is not None
        assert (row.ssim, row.psnr, row.mse) == score(noisy / 2, clean, AUTHORS, pair.is_volume)
        assert (row.nfe, row.planes) == (3, len(noisy))


def test_nothing_is_denoised_twice_unless_something_changed(pairs: list[Pair], store: Store) -> None:
    first, again, other = Half(), Half(), Half(identity_value=1)
    rows = [list(evaluate(pairs, [Candidate("half", method)], store, AUTHORS)) for method in (first, again)]
    assert rows[0] == rows[1]  # seconds too: those of when it was denoised
    assert (len(first.calls), len(again.calls)) == (3, 0)
    list(evaluate(pairs, [Candidate("half", other)], store, AUTHORS))
    assert len(other.calls) == 3
    darker = Pair("darker", pairs[0].clean or pairs[0].noisy, pairs[0].clean, pairs[0].is_volume)
    list(evaluate([darker], [Candidate("half", again)], store, AUTHORS))
    assert len(again.calls) == 1


def test_a_damaged_file_is_denoised_again(pairs: list[Pair], store: Store) -> None:
    method = Half()
    list(evaluate(pairs, [Candidate("half", method)], store, AUTHORS))
    for path in store.folder.iterdir():
        path.write_bytes(path.read_bytes()[:-200])
    rows = list(evaluate(pairs, [Candidate("half", method)], store, AUTHORS))
    assert len(method.calls) == 6
    assert not [row.error for row in rows if row.error]


def test_a_folder_that_cannot_be_written_is_told(pairs: list[Pair], tmp_path: Path) -> None:
    (tmp_path / "predictions").write_text("a file")
    (row, *_) = evaluate(pairs, [Candidate("half", Half())], Store(tmp_path / "predictions"), AUTHORS)
    assert "cannot be written" in str(row.error)


def test_only_oracles_see_the_truth_and_guides_are_other_predictions(pairs: list[Pair], store: Store) -> None:
    guide, guided, peeks = Half(), Half(identity_value=1), Peeks(identity_value=2)
    tried = [Candidate("guided", guided, Candidate("half", guide)), Candidate("peeks", peeks)]
    rows = list(evaluate(pairs[:1], tried, store, AUTHORS))
    (noisy, clean) = pairs[0].read()
    assert guided.calls[0][0] is None
    assert np.array_equal(guided.calls[0][1], noisy / 2)
    assert np.array_equal(peeks.calls[0][0], clean)
    assert rows[0].nfe == 6  # with what the guide took
    assert guide.calls == [(None, None)]


def test_without_a_clean_side_the_noise_is_measured(pairs: list[Pair], store: Store) -> None:
    blind = Pair("blind", pairs[0].noisy, None, pairs[0].is_volume)
    (row,) = evaluate([blind], [Candidate("half", Half())], store, AUTHORS)
    assert row.psnr is None
    assert row.noise_before is not None
    assert row.noise_after == pytest.approx(row.noise_before / 2, rel=1e-3)


def test_a_panel_shows_one_plane_of_each(pairs: list[Pair], store: Store) -> None:
    shown = panel(pairs[0], [Candidate("half", Half())], store)
    noisy, _ = pairs[0].read()
    assert pairs[0].is_volume
    assert np.array_equal(shown.noisy, noisy.max(axis=0))
    assert np.array_equal(shown.predictions["half"], noisy.max(axis=0) / 2)


def test_what_failed_is_not_tried_again_for_its_picture(
    pairs: list[Pair], store: Store, tmp_path: Path
) -> None:
    spoils = Spoils(1, fails)
    tried = [Candidate("half", Half()), Candidate("spoils", spoils)]
    results = results_of(evaluate(pairs, tried, store, AUTHORS), AUTHORS, tried)
    write_results(tmp_path, results, pairs, tried, store)
    assert len(spoils.calls) == len(pairs)
    assert "does not like this image" in (tmp_path / "report.html").read_text()


def test_what_cannot_be_had_is_told_before_anything_learns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: Any) -> None:
        raise AssertionError("it learns")

    monkeypatch.setattr(CAREamicsMethod, "fit", fit)
    training = Training(TrainingImages((np.zeros((1, 64, 64), np.float32),)), 0.1, 0, tmp_path)
    for text, words in (("repaint,strength=3", "no option 'strength'"), ("care", "--train")):
        with pytest.raises(BaikalError, match=words):
            candidates([Spec.parse("n2v"), Spec.parse(text)], Model(engine="analytic"), lambda: training)


def test_learning_from_pairs_needs_pairs(pairs: list[Pair], tmp_path: Path) -> None:
    read: list[int] = []

    def training() -> Training:
        read.append(1)
        return Training(TrainingImages(tuple(pair.read()[0] for pair in pairs)), 0.1, 0, tmp_path)

    with pytest.raises(EvaluationError, match=r"care: learns from noisy and clean images.*--train"):
        candidates([Spec.parse("care")], Model(), training)
    assert len(read) == 1
    candidates([Spec.parse("noisy"), Spec.parse("gaussian")], Model(), training)
    assert len(read) == 1  # what learns nothing reads nothing


def test_what_is_learnt_has_a_name_of_its_own(tmp_path: Path) -> None:
    stack = np.zeros((1, 8, 8), np.float32)

    def key(
        minutes: float = 1, seed: int = 0, method: str = "n2v", noisy: Stack = stack, **clean: Any
    ) -> str:
        return Training(TrainingImages((noisy,), **clean), minutes, seed, tmp_path).key(method)

    keys = [key(), key(minutes=2), key(seed=1), key(method="care"), key(noisy=stack + 1)]
    keys += [key(noisy=stack.reshape(1, 4, 16)), key(clean=(stack,))]
    assert len(set(keys)) == len(keys)
    assert key() == key()
