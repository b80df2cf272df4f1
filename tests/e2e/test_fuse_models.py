"""--fuse with a model for each channel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from baikal_deploy.volumes.cleanup import Mark
from baikal_training.camera import Camera
from baikal_training.simulate import simulate_nuclei
from tests.e2e.conftest import BaikalRun, write_zarr

REAL = "--engine", "onnx-cpu"
BOTH = "0=nuclei,1=tribolium,2=skip"
DROP = "--other-channels", "drop"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three channels of a scene that stays, seen in 4 frames: (4, 3, 96, 80) uint16."""
    scene = np.repeat(simulate_nuclei((3, 96, 80), seed=5)[None], 4, axis=0)
    path = tmp_path_factory.mktemp("three") / "in.zarr"
    counts = Camera().expose(scene, seed=5)
    return write_zarr(path, counts, chunks=(1, 1, 96, 80), dimension_names=["t", "c", "y", "x"])


def pixels(path: Path, level: str = "0") -> np.ndarray:
    return np.asarray(zarr.open_array(path / level if level else path, mode="r"))


def channels(path: Path) -> list[dict[str, Any]]:
    mark = Mark.at(path)
    assert mark is not None
    found: list[dict[str, Any]] = mark.provenance["channels"]
    return found


def test_each_channel_is_fused_as_its_own_model_allows(
    tmp_path: Path, three: Path, baikal_run: BaikalRun
) -> None:
    """As if it were alone; what is skipped stays as it is."""
    out, mask, page = (tmp_path / name for name in ("out.zarr", "mask.zarr", "page.html"))
    maps = "--mask", mask, "--report", page
    result = baikal_run(three, out, "--fuse", "t", "--model", BOTH, *REAL, *maps)
    assert result.exit_code == 0, result.output
    assert result.stderr.count("fused with 2 frames on either side") == 2
    assert "channel 2 will be copied, not denoised (--model)" in result.stderr
    gates = []
    for place, model in enumerate(("nuclei", "tribolium")):
        alone = tmp_path / f"{model}.zarr"
        chosen = "--channel", place, *DROP, "--model", model, *REAL
        assert baikal_run(three, alone, "--fuse", "t", *chosen).exit_code == 0
        np.testing.assert_array_equal(pixels(out)[:, place], pixels(alone)[:, 0])
        assert channels(out)[place]["measurement"] == channels(alone)[0]["measurement"]
        assert channels(out)[place]["model"]["name"] == model
        gates.append(channels(out)[place]["measurement"]["gate"])
    assert gates[0] != gates[1]
    np.testing.assert_array_equal(pixels(out)[:, 2], pixels(three, "")[:, 2])
    assert channels(out)[2] == {"name": channels(out)[2]["name"], "copied": True}
    assert not pixels(mask)[:, 2].any()
    assert len(re.findall(r"<h3>Row \d+ along t", page.read_text(encoding="utf-8"))) == 2
    assert not (tmp_path / "out.zarr.unfused.zarr").exists()


def test_a_finished_output_of_several_models_is_fused(
    tmp_path: Path, three: Path, baikal_run: BaikalRun
) -> None:
    """With the models that it was made with, also where auto took one; others are refused."""
    model, plain, out = "0=auto,1=tribolium,2=skip", tmp_path / "plain.zarr", tmp_path / "out.zarr"
    single = "--dtype", "float32", *REAL
    assert baikal_run(three, plain, "--model", model, *single).exit_code == 0
    assert baikal_run(three, tmp_path / "whole.zarr", "--model", model, "--fuse", "t", *single).exit_code == 0
    again = "--from", plain, "--fuse", "t"
    result = baikal_run(three, out, "--model", model, *single, *again)
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(pixels(out), pixels(tmp_path / "whole.zarr"), rtol=1e-5, atol=1e-3)
    assert channels(out) == channels(tmp_path / "whole.zarr")
    refused = {
        "0=auto,1=nuclei,2=skip": "channel 1 model tribolium but here nuclei",
        "0=auto,1=tribolium,2=nuclei": "channel 2 model none but here nuclei",
        "0=auto,1=skip,2=skip": "channel 1 model tribolium but here none",
        "0=membranes,1=tribolium,2=skip": ", as auto chose, but here membranes",
        "0=auto,1=auto,2=skip": "channel 1 model tribolium but here",
        "tribolium": "channel 2 model none but here tribolium",
    }
    for other, words in refused.items():
        result = baikal_run(three, tmp_path / "no.zarr", "--model", other, *single, *again)
        assert result.exit_code == 2, result.output
        assert words in result.output
        assert not (tmp_path / "no.zarr").exists()


def test_channels_that_were_copied_are_no_results(tmp_path: Path, three: Path, baikal_run: BaikalRun) -> None:
    plain = tmp_path / "plain.zarr"
    assert baikal_run(three, plain, "--channel", 0).exit_code == 0
    result = baikal_run(three, tmp_path / "out.zarr", "--from", plain, "--fuse", "t")
    assert result.exit_code == 2, result.output
    assert "channel 1 model none but here general" in result.output


def test_a_sampler_that_draws_is_refused_with_several_models(
    tmp_path: Path, three: Path, baikal_run: BaikalRun
) -> None:
    result = baikal_run(
        three, tmp_path / "out.zarr", "--fuse", "t", "--model", BOTH, "--sampler", "posterior"
    )
    assert result.exit_code == 2, result.output
    assert "draws at random" in result.output
