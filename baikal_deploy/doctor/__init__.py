"""The doctor: which engines work on this machine."""
