"""The manifest, and reading it out of an .onnx file without the onnx package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baikal_deploy.diffusion.schedule import ScheduleSpec
from baikal_deploy.errors import ModelError
from baikal_deploy.measurement.intensity import Normalisation
from baikal_deploy.models import manifest as module
from baikal_deploy.models.manifest import METADATA_KEY, SCHEMA, ModelManifest, find_model, read_manifest
from baikal_deploy.models.onnx_file import CHECKSUM_KEY, file_sha256
from tests.models import exported, tiny_checkpoint, tiny_manifest

SPAN = range(-3, 4)
FULL = ModelManifest(
    name="Zellkerne µ",
    schedule=ScheduleSpec("explicit", 3, (0.1, 0.2, 0.5)),
    variance="learned_range",
    normalisation=Normalisation(2.0, 99.0),
    downsampling=16,
    recommended={"mixing": {"start": 100, "w_end": 0.01}},
    card={"data": "天体 — “quoted”, with a\nline break"},
    noise_correlation=tuple(tuple(0.25 ** abs(x) if y == 0 else 0.0 for x in SPAN) for y in SPAN),
    training={"iterations": 10, "loss": 0.25, "versions": {"torch": "2"}},
)


def onnx_file(path: Path, entries: dict[str, str]) -> Path:
    node = onnx.helper.make_node("Neg", ["a"], ["b"])
    values = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n"]) for n in "ab"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "graph", values[:1], values[1:]))
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(FULL.to_json()) | fields)


@pytest.mark.parametrize("manifest", [FULL, tiny_manifest(tiny_checkpoint())], ids=["full", "plain"])
def test_json_round_trip(manifest: ModelManifest) -> None:
    assert ModelManifest.from_json(manifest.to_json()) == manifest


def test_json_is_stable_and_says_its_schema() -> None:
    assert FULL.to_json() == ModelManifest.from_json(FULL.to_json()).to_json()
    assert json.loads(FULL.to_json())["schema"] == SCHEMA


def test_newer_schema_asks_for_an_update() -> None:
    with pytest.raises(ModelError, match=r"schema 4; update baikal-deploy"):
        ModelManifest.from_json(changed(schema=SCHEMA + 1))


@pytest.mark.parametrize("schema", [1, 2])
def test_older_schemas_are_read_and_know_white_noise(schema: int) -> None:
    later = {"noise_correlation"} | ({"precision", "verification"} if schema == 1 else set())
    fields = {key: value for key, value in json.loads(FULL.to_json()).items() if key not in later}
    expected = replace(FULL, noise_correlation=None)
    assert ModelManifest.from_json(json.dumps(fields | {"schema": schema})) == expected


@pytest.mark.parametrize(
    "kernel",
    [
        [[1.0]],
        [[0.0] * 7] * 7,
        [[0.0] * 7] * 3 + [[0.0] * 3 + [1.0] + [0.0] * 2] + [[0.0] * 7] * 3,
        [[0.0] * 7] * 3 + [[0.0, 0.0, 0.5, 1.0, 0.4, 0.0, 0.0]] + [[0.0] * 7] * 3,
        [[0.0] * 7] * 3 + [[0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]] + [[0.0] * 7] * 3,
        [[0.0] * 7] * 3 + [[1.5, 0.0, 0.0, 1.0, 0.0, 0.0, 1.5]] + [[0.0] * 7] * 3,
    ],
    ids=["small", "zero", "ragged", "skewed", "no finest detail", "beyond 1"],
)
def test_impossible_autocorrelations_are_refused(kernel: list[list[float]]) -> None:
    with pytest.raises(ModelError, match=r"the manifest is damaged .*noise_correlation: "):
        ModelManifest.from_json(changed(noise_correlation=kernel))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        "null",
        "[]",
        "{}",
        changed(schema="1"),
        changed(schema=None),
        changed(surprise=1),
        changed(schedule={"kind": "square", "num_timesteps": 1000}),
        changed(schedule={"kind": "linear"}),
        changed(schedule={"kind": "linear", "num_timesteps": "many"}),
        changed(schedule=[]),
        changed(normalisation={"low": 50, "high": 2}),
        changed(normalisation={"low": "a", "high": "b"}),
        changed(normalisation={"dark": 1}),
        json.dumps({k: v for k, v in json.loads(FULL.to_json()).items() if k != "name"}),
    ],
)
def test_damaged_manifest_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="the manifest is damaged"):
        ModelManifest.from_json(text)


@pytest.mark.parametrize(
    "fields",
    [{"variance": "tidy"}, {"downsampling": 0}, {"downsampling": "16"}, {"recommended": [1]}, {"card": None}],
    ids=str,
)
def test_fields_of_a_wrong_kind_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="damaged"):
        ModelManifest.from_json(changed(**fields))


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(ModelError, match="damaged"):
        ModelManifest.from_json("[" * 200_000)


def test_manifest_is_read_from_among_other_metadata(tmp_path: Path) -> None:
    entries = {"": "", "other": "x" * 70_000, METADATA_KEY: FULL.to_json(), "µ": "天", "last": ""}
    path = onnx_file(tmp_path / "model.onnx", entries)
    assert read_manifest(path) == FULL
    stored = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert dict(module._metadata_props(path.read_bytes())) == stored == entries


def test_metadata_of_a_real_model_is_what_onnx_reads() -> None:
    path = exported()
    stored = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert dict(module._metadata_props(path.read_bytes())) == stored
    assert read_manifest(path) == ModelManifest.from_json(stored[METADATA_KEY])
    assert replace(read_manifest(path), verification={}) == tiny_manifest(tiny_checkpoint())


def test_onnx_file_without_a_manifest(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "foreign.onnx", {"author": "someone"})
    with pytest.raises(ModelError, match="without a manifest; export it with baikal-export") as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["{", changed(schema=99)], ids=["damaged", "newer"])
def test_bad_manifest_in_a_file_names_the_file(text: str, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "model.onnx", {METADATA_KEY: text})
    with pytest.raises(ModelError, match="the manifest") as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "contents",
    [b"PK\x03\x04 a zip archive", b"%PDF-1.7 text", b"plain text", b"\xff" * 40],
    ids=["zip", "pdf", "text", "ones"],
)
def test_not_an_onnx_file(contents: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.onnx"
    path.write_bytes(contents)
    with pytest.raises(ModelError, match="not an ONNX file, or a damaged one") as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_unreadable_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path if kind == "folder" else tmp_path / "missing.onnx"
    with pytest.raises(ModelError, match="cannot be read") as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


def test_truncated_model_never_yields_a_manifest(tmp_path: Path) -> None:
    whole = onnx_file(tmp_path / "whole.onnx", {METADATA_KEY: FULL.to_json()}).read_bytes()
    path = tmp_path / "cut.onnx"
    start = whole.index(METADATA_KEY.encode())
    for length in range(start + len(METADATA_KEY), start + len(METADATA_KEY) + len(FULL.to_json())):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_manifest(path)


@settings(max_examples=300, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_of_an_exported_model_is_found(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    contents, path = bytearray(exported().read_bytes()), tmp_path_factory.getbasetemp() / "flipped.onnx"
    before_the_checksum = contents.rindex(CHECKSUM_KEY.encode()) - 5  # with the lengths of entry and key
    contents[int(place * before_the_checksum)] ^= 1 << bit
    path.write_bytes(contents)
    with pytest.raises(ModelError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


def test_changed_weights_are_told(tmp_path: Path) -> None:
    model, path = onnx.load(exported()), tmp_path / "other.onnx"
    onnx.save(model, path)
    assert read_manifest(path) == read_manifest(exported())
    weights = next(one for one in model.graph.initializer if len(one.raw_data) > 100)
    weights.raw_data = bytes(len(weights.raw_data))
    onnx.save(model, path)
    with pytest.raises(ModelError, match="damaged, or changed after it was exported"):
        read_manifest(path)


@settings(max_examples=300, deadline=None)
@given(contents=st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_model_error(
    tmp_path_factory: pytest.TempPathFactory, contents: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.onnx"
    path.write_bytes(contents)
    with pytest.raises(ModelError):
        read_manifest(path)


@settings(max_examples=300, deadline=None)
@given(edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1))
def test_damaged_bytes_raise_nothing_but_model_error(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "edited.onnx"
    contents = bytearray(onnx_file(path, {METADATA_KEY: FULL.to_json()}).read_bytes())
    for place, value in edits:
        contents[int(place * len(contents))] = value
    path.write_bytes(contents)
    try:
        assert isinstance(read_manifest(path), ModelManifest)
    except ModelError as error:
        assert str(path) in str(error)  # noqa: PT017  # either outcome is right


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(fields=st.dictionaries(st.sampled_from(sorted(json.loads(FULL.to_json()))), JSON, min_size=1))
def test_any_json_in_a_field_raises_nothing_but_model_error(fields: dict[str, Any]) -> None:
    try:
        ModelManifest.from_json(changed(**fields))
    except ModelError as error:
        assert "manifest" in str(error)  # noqa: PT017  # some fields are valid


def test_shipped_models_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "models")
    (tmp_path / "models").mkdir()
    for name in ("actin", "nuclei"):
        onnx_file(tmp_path / "models" / f"{name}.onnx", {METADATA_KEY: replace(FULL, name=name).to_json()})
    (tmp_path / "models" / "README.md").touch()
    assert find_model("nuclei") == tmp_path / "models" / "nuclei.onnx"
    assert read_manifest(find_model("actin")).name == "actin"
    with pytest.raises(ModelError, match="model 'README': not shipped; choose actin, nuclei, or give"):
        find_model("README")
    with pytest.raises(ModelError, match="not shipped; choose actin, nuclei"):
        find_model(tmp_path)


def test_paths_are_found_whatever_is_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHIPPED", tmp_path / "none")
    path = onnx_file(tmp_path / "own.onnx", {})
    assert find_model(path) == find_model(str(path)) == path
    with pytest.raises(ModelError, match=r"gone\.onnx: no such model file"):
        find_model(tmp_path / "gone.onnx")


def test_sha256_of_a_file(tmp_path: Path) -> None:
    contents = np.random.default_rng(0).bytes(5000)
    (tmp_path / "x").write_bytes(contents)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(contents).hexdigest()
