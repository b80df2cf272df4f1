"""The machine and its file system."""
