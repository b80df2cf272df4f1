"""A whole sampler as one ONNX graph, for programs without Python. See docs/fused.md."""

from baikal_export.fused.base import FusedSampler
from baikal_export.fused.file import parse, write

__all__ = ["FusedSampler", "parse", "write"]
