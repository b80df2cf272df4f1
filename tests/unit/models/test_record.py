"""The record beside a model: written, read, and refused where it is not what it says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from baikal_deploy.denoising.denoiser import Denoiser
from baikal_deploy.errors import ModelError
from baikal_deploy.measurement.structure.known import Known
from baikal_deploy.models.losses import Loss, LossAtLevel
from baikal_deploy.models.manifest import shipped_models
from baikal_deploy.models.onnx_file import file_sha256
from baikal_deploy.models.record import MOST_BYTES, ModelRecord, shipped_that_know
from tests.models import exported

LOSS = Loss(
    "bf16",
    "openvino",
    "openvino 2026.2",
    "a CPU",
    "auto",
    4,
    "simulated",
    (LossAtLevel(0.1, 38, -0.002, -0.01, 0.02),),
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(exported(), tmp_path / "mine.onnx"))


def read(model: Path) -> ModelRecord:
    return ModelRecord.beside(model, file_sha256(model))


def record(model: Path, **fields: Any) -> Path:
    """A record with other fields."""
    ModelRecord(file_sha256(model), Known(("nuclei",)), (LOSS,)).save(model)
    path = model.with_suffix(".json")
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def test_round_trip(model: Path) -> None:
    before = file_sha256(model)
    wanted = ModelRecord(before, Known(("nuclei",)), (LOSS,))
    assert wanted.save(model) == model.with_suffix(".json")
    assert read(model) == wanted
    assert file_sha256(model) == before


def test_a_model_without_a_record_is_one_of_which_nothing_is_known(model: Path) -> None:
    assert read(model) == ModelRecord(file_sha256(model))


def test_a_record_of_another_file_is_refused(model: Path) -> None:
    path = record(model, sha256="0" * 64)
    with pytest.raises(ModelError, match=r"mine\.json: is the record of another file than mine\.onnx"):
        read(model)
    with pytest.raises(ModelError, match="another file"):
        Denoiser.load(model, "onnx-cpu")
    path.unlink()
    Denoiser.load(model, "onnx-cpu").close()


LEVEL = {"sigma": 0.1, "psnr_db": 1, "psnr_change_db": 0, "worst_psnr_change_db": 0, "worst_pixel": 0}
ENTRY = json.loads(json.dumps(LOSS.__dict__, default=lambda level: level.__dict__))


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": "one"},
        {"schema": None},
        {"sha256": 5},
        {"losses": {}},
        {"losses": [ENTRY] * 257},
        {"losses": [5]},
        {"losses": [{}]},
        {"losses": [ENTRY | {"precision": "fp12"}]},
        {"losses": [ENTRY | {"machine": "x" * 501}]},
        {"losses": [ENTRY | {"levels": []}]},
        {"losses": [ENTRY | {"levels": [LEVEL | {"sigma": "a"}]}]},
        {"losses": [ENTRY | {"levels": [LEVEL | {"sigma": True}]}]},
        {"losses": [ENTRY | {"levels": [LEVEL | {"worst_pixel": 10**400}]}]},
        {"losses": [ENTRY | {"planes": 0}]},
        {"knows": None},
        {"knows": {"structures": ["unicorns"], "density": None}},
        {"knows": {"structures": [], "density": {"mean": [1], "whitening": [[1]], "limit": 1}}},
        {"knows": {"structures": [], "density": {"mean": "a", "whitening": [], "limit": 1}}},
    ],
    ids=range(18),
)
def test_damaged_records_are_refused_in_one_line(model: Path, fields: dict[str, Any]) -> None:
    record(model, **fields)
    with pytest.raises(ModelError, match=r"mine\.json: ") as refused:
        read(model)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "\x00",
        "[" * 100_000,
        '{"kind": "baikal model record", "schema": NaN}',
        '{"kind": "baikal model record", "schema": 1, "sha256": "", "losses": [Infinity]}',
        '{"kind": "baikal model record", "a": ' + "[" * 100 + "]" * 100 + "}",
        '{"kind": "baikal model record", "schema": 99}',
        '{"kind": "baikal model record"}',
        '{"\\u001b[2J": ',
    ],
    ids=range(9),
)
def test_what_is_no_json_or_no_record_is_refused_in_one_line(model: Path, text: str) -> None:
    model.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match=r"mine\.json: ") as refused:
        read(model)
    assert not {"\n", "\x1b"} & set(str(refused.value))


@pytest.mark.parametrize("text", ["{}", "[1]", '{"name": "my own settings"}', "5", " " * MOST_BYTES + "{}"])
def test_other_json_is_left_alone(model: Path, text: str) -> None:
    path = model.with_suffix(".json")
    path.write_text(text)
    assert read(model) == ModelRecord(file_sha256(model))
    with pytest.raises(ModelError, match="is not the record of a model, and is not replaced"):
        ModelRecord(file_sha256(model)).save(model)
    assert path.read_text() == text


def test_a_folder_of_that_name(model: Path) -> None:
    model.with_suffix(".json").mkdir()
    assert read(model) == ModelRecord(file_sha256(model))
    with pytest.raises(ModelError, match="is not the record"):
        ModelRecord(file_sha256(model)).save(model)


@pytest.mark.parametrize("name", ["general", "nuclei", "tribolium", "membranes"])
def test_shipped_models_have_records_of_themselves(name: str) -> None:
    path = shipped_models()[name]
    found = read(path)
    assert found.known.structures
    assert {loss.precision for loss in found.losses} >= {"fp32", "bf16"}
    assert all(
        abs(level.psnr_change_db) < 0.001
        for loss in found.losses
        if loss.precision == "fp32"
        for level in loss.levels
    )


def test_shipped_models_that_know_a_structure() -> None:
    assert "nuclei" in shipped_that_know("nuclei")
    assert "membranes" in shipped_that_know("membranes")
    assert shipped_that_know("bright field") == ()
