// x += y. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(push_constant) uniform Push {
  uint64_t x, y;
  int width, stride;
};

void main() {
  Floats to = Floats(row_address(x, gl_WorkGroupID.y, stride));
  ConstFloats from = ConstFloats(row_address(y, gl_WorkGroupID.y, stride));
  const int first = int(gl_WorkGroupID.x) * 256;
  for (int i = first + lane_index(); i < min(width, first + 256); i += kLanes) to.v[i] += from.v[i];
}
