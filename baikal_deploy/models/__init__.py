"""The shipped models, and what a model file says of itself."""
