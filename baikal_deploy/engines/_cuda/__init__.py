"""CUDA and CuPy, which the GPU engines share."""
