"""Formats that are read through other projects' readers."""
