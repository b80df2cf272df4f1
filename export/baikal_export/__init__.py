"""Checkpoint, ours or another project's -> self-describing ONNX model, proved equal to it."""
