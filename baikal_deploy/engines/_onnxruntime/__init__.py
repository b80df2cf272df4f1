"""ONNX Runtime, which three engines share."""
