"""How far the values of an fp16 model reach: measured before anything can overflow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper
from torch.nn import functional as F

from baikal_deploy.errors import ModelError
from baikal_export.cli import main
from baikal_export.planes import NoisyPlane
from baikal_export.precision.range import LIMIT, NEAR, Range, audit
from tests.clean import write_clean
from tests.reduced import UNETS, checkpoint, reduced


@pytest.fixture
def inputs() -> list[NoisyPlane]:
    generator = np.random.default_rng(0)
    return [(generator.standard_normal((2, 1, 16, 16), dtype=np.float32), t) for t in (0.0, 400.0, 999.0)]


def scaled(name: str, factor: float) -> onnx.ModelProto:
    """The fp16 model with other weights of that name."""
    model = onnx.load(reduced("fp16").path)
    (weight,) = [one for one in model.graph.initializer if one.name == name]
    values = numpy_helper.to_array(weight)
    with np.errstate(over="ignore"):
        larger = (values.astype(np.float32) * factor).astype(values.dtype)
    weight.CopyFrom(numpy_helper.from_array(larger, name))
    return model


STEM = "net.graph.stem.weight"


def stem_reach(inputs: list[NoisyPlane], factor: float) -> float:
    """Largest |value| that the stem gives."""
    net = reduced("fp16").checkpoint.network()
    planes = torch.cat([torch.from_numpy(x_t) for x_t, _ in inputs])
    weight = factor * net.stem.weight
    return float(F.conv2d(F.pixel_unshuffle(planes, 2), weight, net.stem.bias, padding=1).abs().max())


@torch.no_grad()
def test_largest_value_is_found_with_its_place(inputs: list[NoisyPlane]) -> None:
    for factor in (100.0, 1e4):
        reach = audit(scaled(STEM, factor), inputs)
        places = dict(reach.largest)
        assert places["stem (Conv)"] == pytest.approx(stem_reach(inputs, factor), rel=2e-3)
        weight = float(reduced("fp16").checkpoint.network().stem.weight.abs().max())
        assert places["stem.weight"] == pytest.approx(factor * weight, rel=2e-3)
        values = [value for _, value in reach.largest]
        assert values == sorted(values, reverse=True)


@torch.no_grad()
def test_values_near_the_limit_are_listed_and_those_beyond_refused(inputs: list[NoisyPlane]) -> None:
    once = stem_reach(inputs, 1e4) / 1e4
    far, near, beyond = (
        audit(scaled(STEM, level / once), inputs) for level in (0.9 * NEAR, 1.1 * NEAR, 1.1 * LIMIT)
    )
    assert far.near == ()
    assert "stem (Conv)" in dict(near.near)
    far.check()
    near.check()
    record = near.as_dict()
    assert record["limit"] == 65504.0
    assert record["at"] in record["near"]
    assert record["largest"] == max(record["near"].values())
    with pytest.raises(ModelError, match=r"fp16 reaches to 65504, and \d+ intermediate .* --precision bf16"):
        beyond.check()


def test_fp32_inside_the_graph_may_be_larger(inputs: list[NoisyPlane]) -> None:
    """What follows from the timestep alone is in fp32, and so are the squares in a norm."""
    reach = audit(scaled("net.graph.embed.0.weight", 1e6), inputs)
    assert not [place for place, _ in reach.largest if "embed" in place or "Instance" in place]


def test_weights_that_fp16_cannot_hold_are_refused(inputs: list[NoisyPlane]) -> None:
    with pytest.raises(ModelError, match=r"intermediate values or weights .* \(the largest, (inf|nan), at "):
        audit(scaled(STEM, 1e9), inputs).check()
    broken = Range((("a", float("nan")),))
    assert broken.near
    with pytest.raises(ModelError, match="nan, at a"):
        broken.check()


def test_overflowing_network_is_not_exported(tmp_path: Path) -> None:
    made = checkpoint(UNETS["int8"], write_clean(tmp_path / "clean"))
    made.ema["stem.weight"].mul_(5e4)
    made.save(tmp_path / "net.pt")
    result = CliRunner().invoke(main, [str(tmp_path / "net.pt"), "--precision", "fp16"])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: fp16 reaches to 65504, and ")
    assert len(result.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "net.pt"]
