"""A package of bioimage.io: what is in it, and that it fits together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from PIL import Image

from baikal_deploy.errors import ConfigError, ModelError
from baikal_deploy.models.manifest import find_model, read_manifest
from baikal_export.bioimageio import package
from baikal_export.bioimageio.description import _licence, described, readme
from baikal_export.bioimageio.package import check
from baikal_export.cli import main
from tests.full_disk import full_disk
from tests.models import exported

MANIFEST = read_manifest(exported())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Of a package of the tiny network, without symmetries."""
    path = tmp_path_factory.mktemp("bioimageio") / "tiny.zip"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "SAMPLER", "matched")
        patch.setattr(package, "SHAPE", (45, 38))
        result = CliRunner().invoke(main, [str(exported()), "--bioimageio", str(path)])
    assert result.exit_code == 0, result.stderr
    assert f"wrote {path} for bioimage.io; it agrees with the NumPy sampler to " in result.stdout
    with zipfile.ZipFile(path) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def test_description_fits_the_files(files: dict[str, bytes]) -> None:
    found = json.loads(files["bioimageio.yaml"])
    (image,), (denoised,) = found["inputs"], found["outputs"]
    for entry in (image["test_tensor"], denoised["test_tensor"], found["weights"]["onnx"]):
        assert entry["sha256"] == hashlib.sha256(files[entry["source"]]).hexdigest()
    assert {found["documentation"], *found["covers"]} <= files.keys()
    assert [axis["type"] for axis in image["axes"]] == ["batch", "channel", "space", "space"]
    assert image["axes"][2]["size"] == {"min": 16, "step": 1}
    assert denoised["axes"][3]["size"] == {"tensor_id": "image", "axis_id": "x"}
    assert all(entry.get("doi") or entry.get("url") for entry in found["cite"])
    with Image.open(BytesIO(files["cover.png"])) as cover:
        assert cover.width == 2 * cover.height


def test_graph_makes_the_test_output_of_the_test_input(files: dict[str, bytes]) -> None:
    session = onnxruntime.InferenceSession(files["model.onnx"], providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["image"]
    given, expected = (np.load(BytesIO(files[f"test_{name}.npy"])) for name in ("input", "output"))
    (result,) = session.run(None, {"image": given})
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-3)
    assert given.shape == (1, 1, 45, 38)


@pytest.mark.parametrize(
    ("words", "licence"),
    [
        ("Images: CC0-1.0. Model: BSD-3-Clause, like the software.", "BSD-3-Clause"),
        ("MIT", "MIT"),
        ("ask me", None),
    ],
)
def test_licence_is_that_of_the_card(words: str, licence: str | None) -> None:
    manifest = dataclasses.replace(MANIFEST, card={"licence": words}, name="my µ-model: 2")
    assert _licence(manifest) == licence
    files = dict.fromkeys(("test_input.npy", "test_output.npy", "model.onnx"), b"")
    found = described(manifest, files, 20, package.datetime.now(package.UTC))
    assert found.get("license") == licence
    assert found["name"] == "Baikal denoiser my  -model  2"
    assert words in readme(manifest, 20, 30)


@pytest.mark.parametrize("name", ["general", "nuclei", "flywing", "tribolium"])
def test_shipped_models_have_a_licence(name: str) -> None:
    assert _licence(read_manifest(find_model(name))) == "BSD-3-Clause"


def test_other_names_and_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"name a file that ends in \.zip"):
        check(tmp_path / "model.onnx", MANIFEST)
    kernel = ((0.0, 0.2, 0.0), (0.2, 1.0, 0.2), (0.0, 0.2, 0.0))
    with pytest.raises(ConfigError, match="knows correlated noise"):
        check(tmp_path / "a.zip", dataclasses.replace(MANIFEST, noise_correlation=kernel))


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"the old file")
    with full_disk(1000), pytest.raises(ModelError, match="cannot be written"):
        package._save({"a": np.random.default_rng(0).bytes(100_000)}, path)
    assert path.read_bytes() == b"the old file"
