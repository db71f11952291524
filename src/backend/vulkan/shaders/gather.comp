// dst[i] = src[rows[i]]. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(push_constant) uniform Push {
  uint64_t src, dst, rows;
  int width, stride;
};

void main() {
  const uint from = uint(ConstInts(rows).v[gl_WorkGroupID.y]);
  Floats to = Floats(row_address(dst, gl_WorkGroupID.y, stride));
  ConstFloats x = ConstFloats(row_address(src, from, stride));
  const int first = int(gl_WorkGroupID.x) * 256;
  for (int i = first + lane_index(); i < min(width, first + 256); i += kLanes) to.v[i] = x.v[i];
}
