"""Sorted values as nodes, and what percentiles are taken from."""

from __future__ import annotations

import numpy as np

from baikal_export.fused.nodes import Value


def falling(values: Value) -> tuple[Value, Value]:
    """Values (n,) from the highest to the lowest, and their places."""
    nodes = values.nodes
    count = nodes.op("Reshape", values.size(), nodes.ints([1]))
    ordered, places = nodes.ops("TopK", 2, values, count)
    return ordered, places


def percentile(ordered: Value, percent: float) -> Value:
    """A percentile of values that fall, linear in between; a scalar."""
    nodes = ordered.nodes
    last = ordered.size() - nodes.ints(1)
    place = last.double() * nodes.constant(1 - percent / 100, np.float64)
    before = place.whole()
    after = nodes.op("Min", before + nodes.ints(1), last)
    share = (place - before.double()).float()
    first, second = ordered.taken(0, before), ordered.taken(0, after)
    return first + (second - first) * share
