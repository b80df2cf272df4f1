"""What a model knows, and whether a channel shows that."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from baikal_deploy.measurement.channel import Measurement
from baikal_deploy.measurement.intensity import IntensityMap
from baikal_deploy.measurement.structure.classifier import classifier
from baikal_deploy.measurement.structure.density import Density
from baikal_deploy.measurement.structure.known import WORDS, Finding, Known
from baikal_deploy.measurement.structure.recognised import Recognised

DIMENSIONS = classifier().axes.shape[1]
NUCLEI = Known(("nuclei",))


def seen(**probabilities: float) -> Recognised:
    return Recognised(probabilities, (0.0,) * DIMENSIONS)


def test_every_structure_has_words() -> None:
    assert set(WORDS) == set(classifier().names)


@pytest.mark.parametrize(
    ("what", "verdict"),
    [
        (seen(nuclei=0.9, fibres=0.1), "known"),
        (seen(nuclei=0.02, fibres=0.98), "unseen"),
        (seen(nuclei=0.4, fibres=0.6), "unknown"),
        (Recognised(reason="its noise is correlated"), "unknown"),
    ],
)
def test_verdict(what: Recognised, verdict: str) -> None:
    assert NUCLEI.judge(what) == verdict


def test_nothing_is_known_of_a_model_without_a_record() -> None:
    finding = Finding.of(seen(fibres=1.0), Known(), "mine")
    assert (finding.verdict, finding.notes(), finding.words) == ("unknown", [], "")


def test_sentences() -> None:
    fibres = Finding.of(seen(nuclei=0.0, fibres=1.0), NUCLEI, "nuclei")
    (note,) = fibres.with_others(("general",)).notes()
    assert note.startswith("looks like fibres or organelles (actin, ")
    assert "try --model general, or train it" in note
    assert "--model" not in fibres.notes()[0]
    (note,) = Finding.of(seen(nuclei=0.0, fibres=0.5, membranes=0.5), NUCLEI, "nuclei").notes()
    assert note.startswith("does not look like nuclei, which")
    known = Finding.of(seen(nuclei=1.0), NUCLEI, "nuclei")
    assert (known.words, known.notes()) == ("looks like nuclei, which model nuclei knows", [])


def test_what_a_model_has_not_seen_is_among_the_notes_and_in_the_record() -> None:
    finding = Finding.of(seen(nuclei=0.0, fibres=1.0), NUCLEI, "nuclei")
    measurement = Measurement(IntensityMap(0, 1), 0.1, 0, structure=finding)
    assert measurement.notes() == finding.notes()
    record = json.loads(json.dumps(measurement.record()))
    assert Measurement.from_record(record) == measurement
    del record["structure"]  # of an earlier version
    assert Measurement.from_record(record) == replace(measurement, structure=None)


def density(count: int, seed: int = 0) -> Density:
    return Density.of(np.random.default_rng(seed).normal(3, 0.5, (count, DIMENSIONS)))


@pytest.mark.parametrize("count", [1, 3, 32])
def test_density_of_few_and_of_many_images(count: int) -> None:
    own = Known(density=density(count))
    inside = Recognised({"fibres": 1.0}, (3.0,) * DIMENSIONS)
    outside = Recognised({"fibres": 1.0}, (-3.0,) * DIMENSIONS)
    assert own.judge(inside) == "known"
    assert own.judge(outside) == "unseen"
    assert "does not look like" not in Finding.of(inside, own, "mine").words
    assert Known.from_record(json.loads(json.dumps(own.record()))) == own


def test_density_says_nothing_in_between() -> None:
    own = density(32)
    place = np.full(DIMENSIONS, 3.0)
    step = np.ones(DIMENSIONS)
    for distance in np.linspace(0, 10, 200):
        at = Recognised({"fibres": 1.0}, tuple(place + distance * step))
        if 1 < own.distance(at.place) < 1.5:
            assert Known(density=own).judge(at) == "unknown"
            break
    else:
        pytest.fail("no place between the limits")


def changed(**fields: Any) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(density(3)))) | fields


@pytest.mark.parametrize(
    "record",
    [
        changed(mean=[0.0]),
        changed(mean=[float("nan")] * DIMENSIONS),
        changed(limit=0),
        changed(limit=1e400),
        changed(limit="wide"),
        changed(whitening=[[1.0]]),
        changed(mean={"a": 1}),
        {},
    ],
)
def test_bad_density(record: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Density.from_record(record)


@pytest.mark.parametrize("structures", [["unicorns"], "nuclei", ["nuclei"] * 65, [["nuclei"]], None])
def test_bad_structures(structures: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Known.from_record({"structures": structures, "density": None})
