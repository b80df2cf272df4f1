"""TensorRT and TensorRT for RTX, which two engines share."""
