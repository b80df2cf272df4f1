"""A whole sampler as one ONNX graph, for programs without Python. See docs/fused.md."""

from baikal_export.fused.file import FusedSampler, write

__all__ = ["FusedSampler", "write"]
