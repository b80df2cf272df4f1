"""The version of this package, for those that want nothing else of it."""

__version__ = "0.1.0"
