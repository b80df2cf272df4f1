"""The model that a training starts from: its weights out of an .onnx file, and what is refused."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from baikal_deploy.errors import BaikalError, ConfigError, EngineUnavailable, ModelError
from baikal_deploy.models import manifest
from baikal_deploy.models.manifest import (
    METADATA_KEY,
    MOST_BYTES,
    ModelManifest,
    read_manifest,
    shipped_models,
)  # fmt: skip
from baikal_deploy.models.onnx_file import CHECKSUM_KEY, checksum
from baikal_training import start as module
from baikal_training.checkpoint import Checkpoint
from baikal_training.losses import Objective, Prediction
from baikal_training.onnx_weights import network_of, weights_in
from baikal_training.start import Start, first_model
from baikal_training.unet_config import PRESETS
from tests.capabilities import require
from tests.models import exported, tiny_checkpoint


def first(path: Path | str) -> Checkpoint:
    return first_model(Start.of(str(path)))


def recorded(checkpoint: Checkpoint, **entries: Any) -> dict[str, Any]:
    """The manifest's training record, with the shape of the network as ``Session`` writes it."""
    return {"unet": checkpoint.unet.as_dict(), "iterations": 7} | entries


def file_of(
    path: Path,
    checkpoint: Checkpoint,
    change: Callable[[onnx.ModelProto], None] = lambda model: None,
    **fields: Any,
) -> Path:
    """The exported checkpoint, with its record of the network, and then changed."""
    source = exported(checkpoint.objective.prediction, checkpoint.objective.variance)
    manifest = replace(read_manifest(source), training=recorded(checkpoint))
    model = onnx.load(source)
    change(model)
    write(path, model, replace(manifest, **fields))
    return path


def write(path: Path, model: onnx.ModelProto, manifest: ModelManifest) -> None:
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=manifest.to_json())
    model.metadata_props.add(key=CHECKSUM_KEY, value=checksum(model.SerializeToString()))
    onnx.save(model, path)


@pytest.mark.parametrize(("prediction", "variance"), [("velocity", "fixed_small"), ("eps", "learned_range")])
def test_weights_come_back_from_an_exported_file(
    tmp_path: Path, prediction: Prediction, variance: Any
) -> None:
    checkpoint = tiny_checkpoint(prediction, variance)
    found = first(file_of(tmp_path / "net.onnx", checkpoint))
    assert found.ema.keys() == checkpoint.ema.keys()
    assert all(torch.equal(found.ema[name], weights) for name, weights in checkpoint.ema.items())
    assert (found.unet, found.schedule) == (checkpoint.unet, checkpoint.schedule)
    assert (found.objective, found.normalisation) == (checkpoint.objective, checkpoint.normalisation)
    assert found.training["iterations"] == 7


@pytest.mark.parametrize("name", shipped_models())
def test_every_shipped_model_can_be_started_from(name: str) -> None:
    found = first(name)
    assert found.unet == PRESETS["light"]
    assert found.objective == Objective("velocity", "fixed_small")
    assert found.schedule == read_manifest(shipped_models()[name]).schedule


def test_the_record_names_the_model_and_its_sha256(tmp_path: Path) -> None:
    path = file_of(tmp_path / "net.onnx", tiny_checkpoint())
    start = Start.of(str(path))
    record = start.record(first_model(start))
    assert record["model"] == "net.onnx"
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["iterations"] == 7
    shipped = Start.of("nuclei")
    assert shipped.record(first_model(shipped))["model"] == "nuclei"
    assert shipped.sha256 == hashlib.sha256(shipped_models()["nuclei"].read_bytes()).hexdigest()


def test_the_record_names_a_former_model_as_it_is_called_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "ALIASES", {"grains": "tribolium"})
    start = Start.of("grains")
    assert start.sha256 == Start.of("tribolium").sha256
    assert start.record(first_model(start))["model"] == "tribolium"


def test_a_shipped_name_is_not_a_file_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nuclei").write_text("something else")
    assert first("nuclei").unet == PRESETS["light"]


def refused(path: Path | str, match: str, kind: type[BaikalError] = ConfigError) -> None:
    with pytest.raises(kind, match=match) as caught:
        first(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_of_nothing_are_refused(tmp_path: Path) -> None:
    require("fifos")
    refused("cells", "no such checkpoint or .onnx file, and no shipped model .*nuclei")
    refused(tmp_path / "gone.onnx", "no such checkpoint or .onnx file")
    refused("x" * 300, "no such checkpoint or .onnx file")
    (tmp_path / "folder.pt").mkdir()
    refused(tmp_path / "folder.pt", "no such checkpoint or .onnx file")
    os.mkfifo(tmp_path / "pipe.onnx")
    refused(tmp_path / "pipe.onnx", "no such checkpoint or .onnx file")


def test_a_file_that_is_larger_than_any_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.onnx").open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # takes no space
    refused(tmp_path / "huge.onnx", "is larger than any ONNX file")


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8"])
def test_rounded_weights_are_refused(tmp_path: Path, precision: Any) -> None:
    path = file_of(tmp_path / "net.onnx", tiny_checkpoint(), precision=precision)
    refused(path, f"its weights are rounded to {precision}; give the file in fp32")


def test_models_that_know_correlated_noise_are_refused(tmp_path: Path) -> None:
    kernel = tuple(tuple(0.25 ** abs(x) if y == 0 else 0.0 for x in range(-3, 4)) for y in range(-3, 4))
    path = file_of(tmp_path / "net.onnx", tiny_checkpoint(), noise_correlation=kernel)
    refused(path, "was fine-tuned to noise that neighbouring pixels share")
    tuned = replace(tiny_checkpoint(), training={"noise": {"correlation": kernel}})
    tuned.save(tmp_path / "tuned.pt")
    refused(tmp_path / "tuned.pt", "was fine-tuned to noise that neighbouring pixels share")


def rename(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        for node in model.graph.node:
            node.input[:] = [name.replace("net.", "model.") for name in node.input]
        tensor.name = tensor.name.replace("net.", "model.")


def test_networks_of_others_are_refused(tmp_path: Path) -> None:
    refused(file_of(tmp_path / "net.onnx", tiny_checkpoint(), rename), "not a network of baikal-train")


def test_a_network_that_is_neither_recorded_nor_a_preset_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path / "net.onnx", tiny_checkpoint(), training={})
    refused(path, "not a network of baikal-train, or one with other layers than the presets")


def test_normalisation_layers_are_refused_with_their_reason(tmp_path: Path) -> None:
    """Their weights are the only ones that the file lacks."""
    unet = {"channels": [8, 16], "blocks": [1, 1], "norm_groups": 4}
    path = file_of(tmp_path / "net.onnx", tiny_checkpoint(), training={"unet": unet})
    refused(path, "has normalisation layers, whose weights an .onnx file keeps")


def halve(model: onnx.ModelProto) -> None:
    """Another computation with the same weights: the noise that is found is halved."""
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    model.graph.initializer.append(half)
    model.graph.output[0].name, inner = "eps", "whole"
    for node in model.graph.node:
        node.output[:] = [inner if name == "eps" else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Mul", [inner, "half"], ["eps"]))


def not_a_number(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == "net.head.bias":
            tensor.raw_data = np.full(tensor.dims, np.nan, np.float32).tobytes()


@pytest.mark.parametrize("change", [halve, not_a_number])
def test_a_graph_that_computes_something_else_is_refused(tmp_path: Path, change: Any) -> None:
    refused(file_of(tmp_path / "net.onnx", tiny_checkpoint(), change), "computes something else than")


def cut(model: onnx.ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "net.stem.weight")
    tensor.raw_data = tensor.raw_data[:-4]


def test_a_tensor_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    refused(file_of(tmp_path / "net.onnx", tiny_checkpoint(), cut), "its weights are damaged", ModelError)


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ({"unet": 3}, "its record of the network is damaged"),
        ({"unet": {"channels": "many"}}, "its record of the network is damaged"),
        ({"unet": {"channels": [10**9, 10**9], "blocks": [1, 1]}}, "not a network of baikal-train"),
        ({"unet": {"channels": [8, 16], "blocks": [10**9, 1]}}, "not a network of baikal-train"),
        ({"unet": {"channels": [8] * 4000, "blocks": [1] * 4000}}, "not a network of baikal-train"),
        ({"unet": {"channels": [8, 24], "blocks": [1, 1]}}, "not a network of baikal-train"),
        ({"unet": None, "noise": 3}, "not a network of baikal-train"),
    ],
    ids=str,
)
def test_records_that_are_wrong_are_refused(tmp_path: Path, record: dict[str, Any], match: str) -> None:
    refused(file_of(tmp_path / "net.onnx", tiny_checkpoint(), training=record), match)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    refused(tmp_path / "text.onnx", "not an ONNX file, or a damaged one", ModelError)
    shutil.copy(exported(), tmp_path / "net.pt")
    refused(tmp_path / "net.pt", "not a readable checkpoint", ModelError)
    whole = exported().read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.onnx", "damaged", ModelError)


def test_without_onnx_runtime_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise EngineUnavailable("engine onnx-cpu: onnxruntime is not installed; pip install …")

    monkeypatch.setattr(module, "open_engine", missing)
    path = file_of(tmp_path / "net.onnx", tiny_checkpoint())
    refused(path, "the weights of an .onnx file are checked against it: .*pip install", EngineUnavailable)


def test_packed_shapes_are_read_too(tmp_path: Path) -> None:
    """Other writers of protobuf pack repeated numbers."""
    raw = np.arange(300, dtype=np.float32).tobytes()
    dims = bytes([1 << 3 | 2, 3, 0xAC, 0x02, 1])  # 300, 1
    tensor = dims + bytes([2 << 3, 1, 8 << 3 | 2, 5]) + b"net.a" + bytes([9 << 3 | 2, 0xB0, 0x09]) + raw
    graph = bytes([5 << 3 | 2]) + varint(len(tensor)) + tensor
    (tmp_path / "a.onnx").write_bytes(bytes([7 << 3 | 2]) + varint(len(graph)) + graph)
    (found,) = weights_in(tmp_path / "a.onnx").values()
    assert found.shape == (300, 1)
    assert found[299] == 299


def varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def test_blocks_of_the_first_exporter_are_found() -> None:
    weights = weights_in(shipped_models()["nuclei"])
    assert network_of("nuclei", read_manifest(shipped_models()["nuclei"]), weights) == PRESETS["light"]
    assert not [name for name in weights if ".blocks." in name]
