"""A run's items shared out to worker processes, on this machine or on many, through Dask."""
