"""The corpus of the shipped model, as docs/corpora tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from baikal_training.data.corpus import Corpus
from baikal_training.data.corpus_file import read_corpus

CORPORA = Path(__file__).parents[3] / "docs" / "corpora"
TESTS_ONLY = ("bbbc007", "ij_hela", "mlj_maize")
"""Images that were collected with those of the corpus, and that may not be given on with a model."""


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return read_corpus(CORPORA / "general.toml")


def attributions(corpus: Corpus) -> str:
    """Who made the images of a corpus, as a table in Markdown; sources of one origin share a row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for source in corpus.sources:
        rows.setdefault((source.attribution, source.licence, source.origin), []).append(source.name)
    head = "| images | by | licence | from |\n|---|---|---|---|\n"
    return head + "".join(
        f"| {', '.join(names)} | {by} | {licence} | {origin} |\n".replace("*", r"\*")
        for (by, licence, origin), names in rows.items()
    )


def test_readme_names_everybody_who_made_the_images(corpus: Corpus) -> None:
    """On a failure, put the table that is printed into the README."""
    table = attributions(corpus)
    print(table)
    assert table in (CORPORA / "README.md").read_text(encoding="utf-8")


def test_every_source_has_a_licence_and_an_origin(corpus: Corpus) -> None:
    for source in corpus.sources:
        assert source.licence, source.name
        assert source.attribution, source.name
        assert source.origin, source.name


def test_images_for_tests_alone_are_not_in_it(corpus: Corpus) -> None:
    text = (CORPORA / "general.toml").read_text(encoding="utf-8")
    assert not [name for name in TESTS_ONLY if name in text]


def test_shares_are_those_of_the_structures(corpus: Corpus) -> None:
    shares = corpus.shares({source.name for source in corpus.sources})
    nuclei = sum(shares[source.name] for source in corpus.sources if source.structure == "nuclei")
    assert nuclei == pytest.approx(corpus.structures["nuclei"] / sum(corpus.structures.values()))
    assert sum(shares.values()) == pytest.approx(1)
