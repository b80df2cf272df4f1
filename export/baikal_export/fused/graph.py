"""The ONNX graph of a whole sampler: a Loop over its instructions, with the network inside.

It is written in ONNX's own text form (https://onnx.ai/onnx/repo-docs/Syntax.html).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, helper, numpy_helper, parser

from baikal_deploy.diffusion.samplers._moves import OBSERVED_RANGE
from baikal_deploy.diffusion.samplers._walk import WalkSampler
from baikal_deploy.models.manifest import ModelManifest
from baikal_export.fused.program import Instruction, Program

_PREFIX = "network_"
"""Prefix of every name in the network, so that none is also one of the sampler's."""


def build(
    network: onnx.ModelProto, manifest: ModelManifest, sampler: WalkSampler, program: Program
) -> onnx.ModelProto:
    """The model that runs a program, without metadata.

    Args:
        network: the model that ``manifest`` describes.
        sampler: the one that the program was compiled from.
    """
    learned = manifest.variance == "learned_range"
    graph = parser.parse_graph(_sampler(program, sampler.clip, manifest.downsampling, learned))
    for name, value in _tables(program, manifest).items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    _insert(network.graph, _subgraph(_subgraph(graph, "Loop", "body"), "If", "then_branch"))
    return helper.make_model(
        graph,
        ir_version=network.ir_version,
        opset_imports=network.opset_import,
        functions=network.functions,
        producer_name="baikal-export",
    )


def _tables(program: Program, manifest: ModelManifest) -> dict[str, NDArray[Any]]:
    if not program.follows_noise:
        return {"table": program.table, "first": program.first[0], "count": program.count[0]}
    levels = manifest.schedule.build().noise_levels
    return {
        "table": program.table,
        "middles": ((levels[1:] + levels[:-1]) / 2).astype(np.float32),
        "walk_of": program.walk_of,
        "walks": np.stack([program.first, program.count], axis=1),
    }


def _subgraph(graph: onnx.GraphProto, op_type: str, attribute: str) -> onnx.GraphProto:
    """The graph in an attribute of the graph's one node of that type."""
    (node,) = (node for node in graph.node if node.op_type == op_type)
    return helper.get_node_attr_value(node, attribute)


def _insert(network: onnx.GraphProto, branch: onnx.GraphProto) -> None:
    """Put the network in the place of the node Network."""
    network = compose.add_prefix_graph(network, _PREFIX)
    (place,) = (i for i, node in enumerate(branch.node) if node.op_type == "Network")
    nodes = [*branch.node[:place], *network.node, *branch.node[place + 1 :]]
    del branch.node[:]
    branch.node.extend(nodes)
    branch.initializer.extend(network.initializer)


def _sampler(program: Program, clip: str, downsampling: int, learned: bool) -> str:
    """The whole graph but for its tables."""
    sigma = ", float sigma" if program.follows_noise else ""
    low, high = OBSERVED_RANGE if clip == "observed" else (-1.0, 1.0)
    return f"""
    sampler (float[N,1,H,W] image, float[{len(program.draws)},N,1,H,W] noise, float[2] intensity{sigma})
        => (float[N,1,H,W] denoised)
        <float one = {{1}}, float two = {{2}}, float lowest = {{{low}}}, float highest = {{{high}}},
         int64 int_0 = {{0}}, int64 int_1 = {{1}}, int64 int_2 = {{2}},
         int64 factor = {{{downsampling}}}, int64 factor_less_1 = {{{downsampling - 1}}},
         int64[2] origin = {{0, 0}}, int64[2] plane_axes = {{2, 3}}> {{
      low, high = Split <num_outputs = 2> (intensity)
      range = Sub (high, low)
      scale = Div (two, range)
      above_low = Sub (image, low)
      from_0 = Mul (above_low, scale)
      y = Sub (from_0, one)
      {_CHOOSE_WALK if program.follows_noise else ""}
      {_OBSERVED if clip == "observed" else _UNIT}
      {_reflection("rows", 2)}
      {_reflection("columns", 3)}
      batch = Shape <start = 0, end = 1> (image)
      plane_shape = Shape <start = 2, end = 4> (image)
      image_shape = Shape (image)
      nothing = ConstantOfShape (image_shape)
      x_0, mean = Loop (count, , y, nothing) <body = move
          (int64 i, bool going, float[N,1,H,W] x, float[N,1,H,W] mean_before)
          => (bool still_going, float[N,1,H,W] next_x, float[N,1,H,W] mean_after) {{
        {_move(learned)}
      }}>
      mean_from_0 = Add (mean, one)
      mean_above_low = Div (mean_from_0, scale)
      denoised = Add (mean_above_low, low)
    }}"""


# The t* whose noise level is nearest to sigma's. Where no walk starts, the index is out of bounds, which
# ONNX Runtime reports with the node's name.
_CHOOSE_WALK = """
      level = Mul (sigma, scale)
      passed = Greater (level, middles)
      ones = Cast <to = 7> (passed)
      t_star = ReduceSum <keepdims = 0> (ones)
      walk = Gather (walk_of, t_star)
      [sampler_cannot_start_at_this_noise_level] rows_of_walk = Gather (walks, walk)
      first_shaped, count = Split <num_outputs = 2> (rows_of_walk)
      first = Squeeze (first_shaped)"""

_OBSERVED = """
      x0_min = Min (y, lowest)
      x0_max = Max (y, highest)"""
_UNIT = """
      x0_min = Identity (lowest)
      x0_max = Identity (highest)"""


def _reflection(indices: str, axis: int) -> str:
    """Indices that pad an axis by reflection to a multiple of the network's downsampling.

    Unlike ONNX's Pad, it takes margins longer than the axis, as the runtime does.
    """
    return f"""
      {indices}_shape = Shape <start = {axis}, end = {axis + 1}> (image)
      {indices}_count = Squeeze ({indices}_shape)
      {indices}_reach = Add ({indices}_count, factor_less_1)
      {indices}_blocks = Div ({indices}_reach, factor)
      {indices}_padded = Mul ({indices}_blocks, factor)
      {indices}_along = Range (int_0, {indices}_padded, int_1)
      {indices}_last = Sub ({indices}_count, int_1)
      {indices}_there_and_back = Mul ({indices}_last, int_2)
      {indices}_period = Max ({indices}_there_and_back, int_1)
      {indices}_phase = Mod ({indices}_along, {indices}_period)
      {indices}_offset = Sub ({indices}_last, {indices}_phase)
      {indices}_distance = Abs ({indices}_offset)
      {indices} = Sub ({indices}_last, {indices}_distance)"""


def _move(learned: bool) -> str:
    """The loop's body: one instruction."""
    fields = Instruction._fields
    return f"""
        still_going = Identity (going)
        row_number = Add (first, i)
        row = Gather (table, row_number)
        {", ".join(fields)} = Split <num_outputs = {len(fields)}> (row)
        is_reverse = Cast <to = 9> (evaluates)
        z{", spread" if learned else ""} = If (is_reverse)
          <then_branch = {_reverse(learned)}, else_branch = {_keep(learned)}>
        plane_shaped = Cast <to = 7> (plane)
        plane_number = Squeeze (plane_shaped)
        drawn = Gather (noise, plane_number)
        std = {"Mul (of_noise, spread)" if learned else "Identity (of_noise)"}
        part_of_x = Mul (of_x, x)
        part_of_z = Mul (of_z, z)
        part_of_noise = Mul (std, drawn)
        next_x = Sum (part_of_x, part_of_z, part_of_noise)
        shared = Mul (share, next_x)
        mean_after = Add (mean_before, shared)"""


def _reverse(learned: bool) -> str:
    """Nodes for z of a reverse step: x̂0. A margin is put on for the network only."""
    outputs = f"{_PREFIX}eps, {_PREFIX}v" if learned else f"{_PREFIX}eps"
    spread = f"""
          v = Slice ({_PREFIX}v, origin, plane_shape, plane_axes)
          log_spread = Mul (growth, v)
          spread_of_v = Exp (log_spread)"""
    return f"""evaluate () => (float[N,1,H,W] x0{", float[N,1,H,W] spread_of_v" if learned else ""}) {{
          taller = Gather <axis = 2> (x, rows)
          {_PREFIX}x_t = Gather <axis = 3> (taller, columns)
          {_PREFIX}timesteps = Expand (timestep, batch)
          {outputs} = Network ({_PREFIX}x_t, {_PREFIX}timesteps)
          eps = Slice ({_PREFIX}eps, origin, plane_shape, plane_axes)
          x_in_x0 = Mul (x0_of_x, x)
          eps_in_x0 = Mul (x0_of_eps, eps)
          unclipped = Add (x_in_x0, eps_in_x0)
          not_below = Max (unclipped, x0_min)
          x0 = Min (not_below, x0_max)
          {spread if learned else ""}
        }}"""


def _keep(learned: bool) -> str:
    """Nodes for z of any other move: y."""
    return f"""keep () => (float[N,1,H,W] y_again{", float no_spread" if learned else ""}) {{
          y_again = Identity (y)
          {"no_spread = Identity (one)" if learned else ""}
        }}"""
