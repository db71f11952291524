// dst[i] = src[output_rows[i]]. 256 values of a row by workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(local_size_x = 256) in;
layout(push_constant) uniform Push {
  uint64_t src, dst, output_rows;
  int width, stride;
};

void main() {
  const uint i = gl_GlobalInvocationID.x;
  const uint from = uint(Ints(output_rows).v[gl_WorkGroupID.y]);
  if (i < uint(width)) Floats(row_address(dst, gl_WorkGroupID.y, stride)).v[i] = ConstFloats(row_address(src, from, stride)).v[i];
}
