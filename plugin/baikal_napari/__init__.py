"""The plug-in for napari: denoise an image layer, with a preview of what is seen (docs/napari.md)."""
