"""Matched with its noise equaliser as one graph, which measures what it is not told."""
