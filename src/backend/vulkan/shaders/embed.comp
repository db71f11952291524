// out[r] = scale * table[tokens[r]]. A workgroup for each row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  uint64_t table, tokens, dst;
  int width, stride;
  float scale;
};

void main() {
  const uint row = gl_WorkGroupID.y;
  ConstFloats src = ConstFloats(row_address(table, uint(Ints(tokens).v[row]), width));
  Floats d = Floats(row_address(dst, row, stride));
  for (int i = int(gl_LocalInvocationID.x); i < width; i += 64) d.v[i] = scale * src.v[i];
}
