"""Evaluation: denoising methods, their metrics on pairs of noisy and clean images, and reports.

``pairs`` finds images, ``methods`` denoises them, ``metrics`` compares with the clean side, ``evaluation``
runs every method on every pair, and ``report`` shows the outcome.
"""
