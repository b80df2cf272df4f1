"""CAREamics, which needs other versions of torch than this project: called in an environment of its own.

``worker.py`` runs there, on files; ``environment`` finds that Python and runs the worker.
"""
