"""A corpus: what its file may say, and how often each source is drawn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from baikal_deploy.errors import ConfigError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_training.data import AUGMENTATIONS, CropDataset, Shares, Split, open_clean, split
from baikal_training.data.corpus_file import read_corpus
from baikal_training.data.crops import PlaneSampler
from tests.clean import soft_plane

CORPUS = """
name = "mine"
[structures]
nuclei = 3
actin = 1

[[source]]
name = "a"
structure = "nuclei"
files = ["a_*.npy"]
licence = "CC BY 4.0"
attribution = "A. Author"

[[source]]
name = "b"
structure = "nuclei"
files = ["b_*.npy"]
weight = 2
augmentation = "narrow"

[[source]]
name = "c"
structure = "actin"
files = ["c/*.npy", "d"]
parent = "^[a-z]+"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of sources a, b and c: 2, 4 and 4, of two sizes; a has 3 planes each."""
    (tmp_path / "c").mkdir()
    (tmp_path / "d").mkdir()
    for seed in range(2):
        np.save(tmp_path / f"a_{seed}.npy", np.stack([soft_plane(seed), soft_plane(70), soft_plane(71)]))
        np.save(tmp_path / "c" / f"cell{seed}.npy", soft_plane(20 + seed, 32))
        np.save(tmp_path / "d" / f"tile{seed}.npy", soft_plane(30 + seed, 32))
    for seed in range(4):
        np.save(tmp_path / f"b_{seed}.npy", soft_plane(10 + seed))
    (tmp_path / "corpus.toml").write_text(CORPUS)
    return tmp_path


def dealt(folder: Path, shares: str = "100:0:0") -> Split:
    found = open_clean([folder / "corpus.toml"], Normalisation())
    return split(found.volumes, Shares.parse(shares), found.corpus)


def drawn(found: Split, count: int = 4000) -> dict[str, float]:
    """Shares of the planes drawn from each source."""
    places, rng = PlaneSampler(found.training), np.random.default_rng(0)
    sources = Counter(places.plane(rng)[0].source for _ in range(count))
    return {name: times / count for name, times in sources.items()}


def test_sources_are_drawn_by_their_shares(folder: Path) -> None:
    """Three quarters are nuclei, of which b has two thirds, whatever the number and size of the images."""
    found = drawn(dealt(folder))
    assert found == pytest.approx({"a": 0.25, "b": 0.5, "c": 0.25}, abs=0.03)


def test_shares_are_of_what_is_left_to_train_on(folder: Path) -> None:
    """With all of b's images copies of a's, a gives all nuclei."""
    for seed in range(4):
        np.save(folder / f"b_{seed}.npy", np.load(folder / "a_0.npy"))
    found = dealt(folder)
    assert drawn(found) == pytest.approx({"a": 0.75, "c": 0.25}, abs=0.03)
    record = found.corpus_as_dict()
    assert record is not None
    assert [(s["name"], s["share"], s["volumes"]) for s in record["sources"]] == [
        ("a", 0.75, 2),
        ("b", 0, 0),
        ("c", 0.25, 4),
    ]


def test_each_part_of_the_split_has_the_shares(folder: Path) -> None:
    for name in ("a", "b"):
        for seed in range(30):
            np.save(folder / f"{name}_{seed}.npy", soft_plane(100 + seed + 50 * (name == "b")))
    found = dealt(folder, "50:50:0")
    for part in (found.training, found.validation):
        sums = Counter[str]()
        for volume in part:
            sums[volume.source] += volume.weight * volume.size
        assert sums["b"] == pytest.approx(2 * sums["a"])
        assert sum(sums.values()) == pytest.approx(1)


def test_record_names_sources_with_licences_and_planes(folder: Path) -> None:
    record = dealt(folder).corpus_as_dict()
    assert record is not None
    assert record["name"] == "mine"
    assert record["structures"] == {"nuclei": 3, "actin": 1}
    assert record["sources"][0] == {
        "name": "a",
        "structure": "nuclei",
        "files": ("a_*.npy",),
        "weight": 1,
        "licence": "CC BY 4.0",
        "attribution": "A. Author",
        "share": 0.25,
        "volumes": 2,
        "planes": 6,
    }
    assert {v["source"] for v in dealt(folder).as_dict()["training"]} == {"a", "b", "c"}


def test_files_with_the_same_parent_stay_together(folder: Path) -> None:
    for seed in range(40):
        np.save(folder / "c" / f"cell{seed}.npy", soft_plane(200 + seed, 32))
    for shares in ("50:50:0", "20:80:0", "80:20:0"):
        found = dealt(folder, shares)
        parts = [
            {Path(v.name).name[:4] for v in part if v.source == "c"}
            for part in (found.training, found.validation)
        ]
        assert sum("cell" in part for part in parts) == 1
        assert sum("tile" in part for part in parts) == 1


def test_source_has_its_own_augmentation(folder: Path) -> None:
    found = {v.source: v.augmentation for v in dealt(folder).training}
    assert found == {"a": None, "b": AUGMENTATIONS["narrow"], "c": None}
    assert len(CropDataset(dealt(folder).training, 32, 0, AUGMENTATIONS["wide"])[0]) == 1


def test_defaults(folder: Path) -> None:
    (folder / "few.toml").write_text('[[source]]\nstructure = "nuclei"\nfiles = ["a_*.npy", "b_0.npy"]\n')
    found = read_corpus(folder / "few.toml")
    assert found.name == "few"
    assert found.sources[0].name == "a_*.npy"
    assert found.shares({"a_*.npy"}) == {"a_*.npy": 1}


SOURCE = '[[source]]\nstructure = "nuclei"\nfiles = ["a_*.npy"]\n'


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[[source]", "not a corpus in TOML"),
        ("", "has no source; begin each with"),
        ("source = 3", "has no source; begin each with"),
        (f"colour = 1\n{SOURCE}", "the corpus: unknown 'colour'; known are name, structures, source"),
        (f"name = 3\n{SOURCE}", "the corpus: name = 3: must be a text"),
        (f"{SOURCE}wieght = 2", "source 1: unknown 'wieght'; known are name, structure"),
        ('[[source]]\nstructure = "nuclei"', "source 1 has no 'files'"),
        ('[[source]]\nfiles = ["a_*.npy"]', "source 1 has no 'structure'"),
        ('[[source]]\nstructure = "nuclei"\nfiles = "a_*.npy"', "source 1: files = 'a_*.npy': give a list"),
        ('[[source]]\nstructure = "nuclei"\nfiles = []', "source 1: files = []: give a list"),
        ('[[source]]\nstructure = "nuclei"\nfiles = ["/a"]', "source 1: '/a': give it relative"),
        (f"{SOURCE}weight = 0", "source 1: weight = 0: must be a number above 0"),
        (f"{SOURCE}weight = -1.5", "source 1: weight = -1.5: must be a number above 0"),
        (f"{SOURCE}weight = nan", "source 1: weight = nan: must be a number above 0"),
        (f"{SOURCE}weight = inf", "source 1: weight = inf: must be a number above 0"),
        (f"{SOURCE}weight = true", "source 1: weight = True: must be a number above 0"),
        (f'{SOURCE}weight = "2"', "source 1: weight = '2': must be a number above 0"),
        (f'{SOURCE}licence = ""', "source 1: licence = '': must be a text, and not empty"),
        (f'{SOURCE}augmentation = "broad"', "augmentation 'broad': choose one of wide, optics, narrow"),
        (f'{SOURCE}parent = "("', "source 1: parent '(': not a regular expression"),
        (f"{SOURCE}{SOURCE}", "sources 1 and 2 are both 'a_*.npy'"),
        (f'{SOURCE}name = "x"\n{SOURCE}', "'a_*.npy' is in the sources 'x' and 'a_*.npy'"),
        (f"structures = 3\n{SOURCE}", "structures = 3: give the share of each"),
        (f"[structures]\nnucli = 3\n{SOURCE}", "structures: no source shows 'nucli'"),
        (f"[structures]\nnuclei = 0\n{SOURCE}", "structures: nuclei = 0: must be a number above 0"),
        (SOURCE.replace("a_", "e_"), "e_*.npy: no such images; check 'files' of the source 'e_*.npy'"),
        (f"{SOURCE}{SOURCE.replace('a_*', 'a_0')}", "a_0.npy: is in the sources 'a_*.npy' and 'a_0.npy'"),
        (f'{SOURCE}parent = "tile"', "a_0.npy: 'parent' of the source 'a_*.npy', 'tile', finds nothing"),
    ],
)
def test_each_mistake_is_told(text: str, match: str, folder: Path) -> None:
    (folder / "bad.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        open_clean([folder / "bad.toml"], Normalisation())
    assert match in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_corpus_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: the corpus cannot be read \(No such file"):
        open_clean([folder / "none.toml"], Normalisation())
    (folder / "latin.toml").write_bytes(b'name = "\xe9"\n')
    with pytest.raises(ConfigError, match=r"latin\.toml: not a corpus in TOML"):
        open_clean([folder / "latin.toml"], Normalisation())


def test_corpus_is_trained_on_alone(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"corpus\.toml: a corpus .* is trained on alone"):
        open_clean([folder / "corpus.toml", folder / "c"], Normalisation())


def test_patterns_may_climb_out_of_the_folder(folder: Path) -> None:
    (folder / "c" / "corpus.toml").write_text(SOURCE.replace("a_", "../a_"))
    assert len(open_clean([folder / "c" / "corpus.toml"], Normalisation()).volumes) == 2
