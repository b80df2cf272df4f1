"""TensorRT on an NVIDIA GPU."""

from __future__ import annotations

from baikal_deploy.engines._tensorrt.family import TENSORRT
from baikal_deploy.engines._tensorrt.runtime import TensorRtEngine


class TensorRt(TensorRtEngine):
    """TensorRT, with an engine file built and timed on this machine's GPU."""

    FAMILY = TENSORRT
