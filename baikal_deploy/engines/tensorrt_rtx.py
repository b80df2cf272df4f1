"""TensorRT for RTX on an NVIDIA GPU."""

from __future__ import annotations

from baikal_deploy.engines._tensorrt.family import TENSORRT_RTX
from baikal_deploy.engines._tensorrt.runtime import TensorRtEngine


class TensorRtRtx(TensorRtEngine):
    """TensorRT for RTX, with an engine file for GPUs of this one's compute capability."""

    FAMILY = TENSORRT_RTX
