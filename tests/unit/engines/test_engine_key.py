"""What an engine file depends on, and which file can stand in for another."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import onnx
import pytest

from baikal_deploy.engines._tensorrt.family import TENSORRT_RTX
from baikal_deploy.engines._tensorrt.key import EngineKey
from baikal_deploy.engines._tensorrt.profile import Profile
from baikal_deploy.errors import ModelError
from baikal_deploy.models.onnx_file import model_sha256
from tests.engine_keys import KEY, OTHERS
from tests.models import exported, tiny_checkpoint, tiny_manifest


def test_each_part_of_a_key_makes_another_file() -> None:
    assert set(OTHERS) == {one.name for one in fields(EngineKey)}
    digests = {replace(KEY, **{name: value}).digest for name, value in OTHERS.items()}
    assert len(digests | {KEY.digest}) == len(OTHERS) + 1
    assert replace(KEY).digest == KEY.digest


def test_a_key_survives_json() -> None:
    assert EngineKey.from_dict(json.loads(json.dumps(KEY.as_dict()))) == KEY
    assert json.loads(json.dumps(KEY.as_dict())) == KEY.as_dict()


@pytest.mark.parametrize("name", sorted(OTHERS.keys() - {"profile", "compute_capabilities"}))
def test_only_shapes_and_gpus_may_be_more_than_wanted(name: str) -> None:
    assert KEY.serves(KEY)
    assert not replace(KEY, **{name: OTHERS[name]}).serves(KEY)


@pytest.mark.parametrize(
    ("profile", "serves"),
    [
        ("1x8x8,1x8x8,2x64x64", True), ("1x4x4,4x64x64,4x128x128", True), ("1x8x8,1x64x64,1x64x64", False),
        ("2x8x8,2x64x64,2x64x64", False), ("1x16x8,1x64x64,2x64x64", False), ("1x8x8,1x64x60,2x64x60", False),
    ],
)  # fmt: skip
def test_a_profile_that_covers_another_serves_for_it(profile: str, serves: bool) -> None:
    assert replace(KEY, profile=Profile.parse(profile)).serves(KEY) is serves


def test_a_file_for_more_gpus_serves_each_of_them() -> None:
    many = replace(KEY, gpu="", compute_capabilities=(86, 89, 120))
    for wanted in [(86,), (89, 120)]:
        assert many.serves(replace(many, compute_capabilities=wanted))
    assert not many.serves(replace(many, compute_capabilities=(80,)))
    assert not many.serves(replace(many, compute_capabilities=(86, 90)))


def test_the_key_of_a_model_says_what_is_here() -> None:
    rtx = pytest.importorskip(
        "tensorrt_rtx", reason="TensorRT for RTX is not installed; the extra dev has it"
    )
    path, manifest = exported("eps"), replace(tiny_manifest(tiny_checkpoint("eps")), precision="fp16")
    key = EngineKey.of(TENSORRT_RTX, path, manifest, KEY.profile, (120, 86, 86))
    assert (key.model, key.version, key.precision) == (model_sha256(path), rtx.__version__, "fp16")
    assert (key.family, key.gpu, key.compute_capabilities) == ("tensorrt-rtx", "", (86, 120))
    assert key.flags == ("strongly typed", "no TF32")


def test_weights_in_other_files_are_part_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(onnx.load(exported("eps")), path)
    whole = model_sha256(path)
    onnx.save(
        onnx.load(exported("eps")), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    apart, weights = model_sha256(path), tmp_path / "weights.bin"
    assert apart != whole
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert model_sha256(path) != apart
    weights.write_bytes(data)
    assert model_sha256(path) == apart
    weights.unlink()
    with pytest.raises(ModelError, match=r"weights\.bin: cannot be read"):
        model_sha256(path)


def test_weights_of_a_constant_inside_a_branch_are_part_of_the_model(tmp_path: Path) -> None:
    tensor = onnx.helper.make_tensor("far", onnx.TensorProto.FLOAT, [1], [1.0])
    del tensor.float_data[:]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="far.bin")
    constant = onnx.helper.make_node("Constant", [], ["far"], value=tensor)
    branch = onnx.helper.make_graph([constant], "branch", [], [])
    choice = onnx.helper.make_node("If", ["which"], ["out"], then_branch=branch, else_branch=branch)
    model = onnx.helper.make_model(onnx.helper.make_graph([choice], "graph", [], []))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "far.bin").write_bytes(b"1234")
    before = model_sha256(tmp_path / "model.onnx")
    (tmp_path / "far.bin").write_bytes(b"5678")
    assert model_sha256(tmp_path / "model.onnx") != before


@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "random"])
def test_a_damaged_model_has_no_key(damage: str, tmp_path: Path) -> None:
    path, whole = tmp_path / "model.onnx", exported("eps").read_bytes()
    contents = {"empty": b"", "truncated": whole[: len(whole) // 2], "random": bytes(range(255, 0, -1)) * 9}
    if damage in contents:
        path.write_bytes(contents[damage])
    with pytest.raises(ModelError, match=r"model\.onnx: (cannot be read|not an ONNX file)"):
        model_sha256(path)
