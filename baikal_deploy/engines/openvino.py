"""OpenVINO on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from baikal_deploy.engines import _openvino as compiler
from baikal_deploy.engines._openvino_engine import OpenVinoEngine
from baikal_deploy.errors import EngineError
from baikal_deploy.host import machine
from baikal_deploy.models.manifest import Precision


class OpenVino(OpenVinoEngine):
    """OpenVINO's CPU plug-in."""

    DEVICE = compiler.CPU
    COMPUTES: ClassVar[Mapping[Precision, tuple[Precision, ...]]] = {
        "fp32": ("fp32", "bf16"),
        "fp16": ("fp32", "bf16"),  # asked for fp16, OpenVINO computes in one of these
        "bf16": ("bf16",),
        "int8": ("int8",),
    }

    @classmethod
    def check(cls, precision: Precision = "fp32") -> None:
        compiler.check(cls.name, precision)

    @classmethod
    def caution(cls, precision: Precision) -> str:
        if precision == "fp32" or not _may_use_amx():
            return ""
        return "planes as narrow as the network's grid are refused: on CPUs with AMX they come out wrong"

    def _check_width(self, width: int) -> None:
        """Refuse planes whose smallest feature maps are one pixel wide, where OpenVINO would use AMX.

        Its convolutions of such maps read memory that nobody wrote (docs/engines.md).
        """
        least = 2 * self.manifest.downsampling
        if self.precision != "fp32" and width < least and _may_use_amx():
            raise EngineError(
                f"engine {self.name}: computes planes {width} pixels wide wrongly in {self.precision} on "
                f"CPUs with AMX; give it planes at least {least} wide, or take another --precision or engine"
            )


def _may_use_amx() -> bool:
    """True if this CPU has AMX, or nothing is known of it."""
    features = machine.cpu().features
    return features is None or features["AMX"]
