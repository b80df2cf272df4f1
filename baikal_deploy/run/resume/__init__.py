"""A run that continues after a kill."""
