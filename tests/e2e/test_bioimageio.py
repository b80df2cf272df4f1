"""A shipped model as a package of bioimage.io, tested by bioimageio.core in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner

from baikal_export.cli import main

ENVIRONMENT = (
    Path(os.environ.get("BAIKAL_BIOIMAGEIO", Path(__file__).parents[2] / ".venv-bioimageio")) / "bin"
)
PREDICT = """
import sys
import numpy as np
from bioimageio.core import create_prediction_pipeline, load_model
from bioimageio.core.digest_spec import create_sample_for_model
package, image, result = sys.argv[1:]
model = load_model(package, perform_io_checks=False)
sample = create_sample_for_model(model, inputs={"image": np.load(image)})
with create_prediction_pipeline(model) as pipeline:
    np.save(result, pipeline.predict_sample_without_blocking(sample).members["denoised"].data.data)
"""


@pytest.mark.slow
def test_package_of_a_shipped_model(tmp_path: Path) -> None:
    """It passes their test, and their prediction of another image is ours."""
    if not (ENVIRONMENT / "bioimageio").exists():
        pytest.skip("bioimageio.core is not there; make bioimageio installs it")
    package = tmp_path / "general.zip"
    done = CliRunner().invoke(main, ["general", "--bioimageio", str(package)])
    assert done.exit_code == 0, done.stderr
    summary = tmp_path / "summary.json"
    command = [ENVIRONMENT / "bioimageio", "test", package, "--summary", summary]
    tested = subprocess.run(command, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout
    assert json.loads(summary.read_text())["status"] == "passed"

    image = np.random.default_rng(4).poisson(np.add.outer(np.arange(77), np.arange(53)) + 20)[None, None]
    np.save(tmp_path / "image.npy", image.astype(np.float32))
    files = package, tmp_path / "image.npy", tmp_path / "result.npy"
    subprocess.run([ENVIRONMENT / "python", "-c", PREDICT, *files], check=True)
    theirs = np.load(tmp_path / "result.npy")
    with zipfile.ZipFile(package) as packed:
        session = onnxruntime.InferenceSession(packed.read("model.onnx"), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {"image": image.astype(np.float32)})
    np.testing.assert_allclose(theirs.reshape(ours.shape), ours, rtol=0, atol=0.01)
    assert np.std(ours - image) > 1
