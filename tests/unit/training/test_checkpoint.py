"""Checkpoints: what comes back, and what survives damage."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ModelError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_training.checkpoint import Checkpoint
from tests.full_disk import full_disk
from tests.models import tiny_checkpoint


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.pt"


def refused(path: Path, match: str) -> None:
    with pytest.raises(ModelError, match=match) as caught:
        Checkpoint.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_round_trip(path: Path) -> None:
    saved = replace(
        tiny_checkpoint("eps", "learned_range"),
        schedule=ScheduleSpec("explicit", 3, (0.1, 0.2, 0.3)),
        normalisation=Normalisation(2, 98),
        training={"loss": 0.5, "config": {"bf16": False, "zoom": (0.5, 2.0)}, "versions": {"torch": "2"}},
        split={"training": [{"name": "a.tif", "planes": 3}]},
        state={"iteration": 7, "net": {}},
    )
    saved.save(path)
    loaded = Checkpoint.load(path)
    assert replace(loaded, ema={}) == replace(saved, ema={})
    assert loaded.ema.keys() == saved.ema.keys()
    assert all(torch.equal(loaded.ema[name], saved.ema[name]) for name in saved.ema)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_network_is_the_ema_network_in_evaluation_mode(path: Path) -> None:
    saved = tiny_checkpoint()
    saved.save(path)
    net = Checkpoint.load(path).network()
    assert not net.training
    x, t = torch.randn(1, 1, 8, 8), torch.tensor([30.0])
    assert torch.equal(net(x, t), saved.network()(x, t))
    assert net(x, t).std() > 0


class Payload:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_loading_never_runs_code(path: Path, tmp_path: Path) -> None:
    torch.save({"format": "baikal-checkpoint", "version": 1, "ema": Payload(tmp_path / "ran")}, path)
    refused(path, "not a readable checkpoint")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_truncated_file_is_refused(share: float, path: Path) -> None:
    tiny_checkpoint().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path, "not a readable checkpoint; was it cut short")


def test_missing_file_is_refused(path: Path) -> None:
    refused(path, "no such checkpoint")
    refused(path.parent, "no such checkpoint")


@pytest.mark.parametrize("state", [{"state_dict": {}}, {"format": "other"}, [1, 2], torch.zeros(3)], ids=repr)
def test_checkpoint_of_another_program_is_refused(state: Any, path: Path) -> None:
    torch.save(state, path)
    refused(path, "not a checkpoint of baikal-train")


@pytest.mark.parametrize(("version", "age"), [(1, "an older"), (3, "a newer")])
def test_checkpoint_of_another_version_is_refused(version: int, age: str, path: Path) -> None:
    torch.save({"format": "baikal-checkpoint", "version": version}, path)
    refused(path, f"written by {age} version of baikal-train; use the same to export it")


@pytest.mark.parametrize(
    "contents",
    [
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04 but no zip archive",
        pytest.param(b"some text", id="text"),
        pytest.param(b"e", id="pickle"),
        pytest.param(b"\x80\x02X\x02\x00\x00\x00\xff\xfe.", id="damaged-text"),
    ],
)
def test_foreign_file_is_refused(contents: bytes, path: Path) -> None:
    path.write_bytes(contents)
    refused(path, "not a readable checkpoint")


@pytest.mark.parametrize("field", ["version", "unet", "objective", "normalisation", "ema", "split", "state"])
def test_incomplete_checkpoint_is_refused(field: str, path: Path) -> None:
    tiny_checkpoint().save(path)
    state = torch.load(path, weights_only=True)
    del state[field]
    torch.save(state, path)
    refused(path, "checkpoint")


def test_full_disk_leaves_the_old_file(path: Path) -> None:
    tiny_checkpoint(seed=1).save(path)
    before = path.read_bytes()
    with full_disk(1000), pytest.raises(ModelError, match=r"net\.pt: the checkpoint cannot be written"):
        tiny_checkpoint(seed=2).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["net.pt"]


def test_crash_while_writing_leaves_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_checkpoint(seed=1).save(path)
    before = path.read_bytes()

    def half_a_file(state: Any, target: Path) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half_a_file)
    with pytest.raises(KeyboardInterrupt):
        tiny_checkpoint(seed=2).save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("where", ["gone/net.pt", "folder"])
def test_unwritable_path_is_refused(where: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ModelError, match="the checkpoint cannot be written") as caught:
        tiny_checkpoint().save(tmp_path / where)
    assert str(tmp_path / where) in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
