"""Checkpoint -> self-describing ONNX model, proved equal to it."""
