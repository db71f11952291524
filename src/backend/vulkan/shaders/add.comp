// x += y. 256 values of a row by workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(local_size_x = 256) in;
layout(push_constant) uniform Push {
  uint64_t x, y;
  int width, stride;
};

void main() {
  const uint i = gl_GlobalInvocationID.x;
  if (i < uint(width)) Floats(row_address(x, gl_WorkGroupID.y, stride)).v[i] += ConstFloats(row_address(y, gl_WorkGroupID.y, stride)).v[i];
}
