"""Train the noise-prediction network on clean planes; simulate data to test with."""
