// x *= f(gate), value by value, or by one gate for the whole row. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(push_constant) uniform Push {
  uint64_t x, gate;
  int width, stride, gate_stride;
  int each;      // 1: a gate for each value, 0: one for all
  int use_silu;  // 0: f is the sigmoid
};

void main() {
  Floats to = Floats(row_address(x, gl_WorkGroupID.y, stride));
  ConstFloats g = ConstFloats(row_address(gate, gl_WorkGroupID.y, gate_stride));
  const int first = int(gl_WorkGroupID.x) * 256;
  for (int i = first + lane_index(); i < min(width, first + 256); i += kLanes) {
    const float by = g.v[each * i];
    precise float y = to.v[i] * (use_silu != 0 ? silu(by) : sigmoid(by));
    to.v[i] = y;
  }
}
