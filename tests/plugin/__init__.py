"""Tests of the plug-in for napari."""
