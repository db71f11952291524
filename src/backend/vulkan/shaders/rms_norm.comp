// dst = src * (mean(src^2) + eps)^-1/2 * weight by group of values. A workgroup for each group of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "norm.glsl"
layout(push_constant) uniform Push {
  uint64_t src, dst, weight;
  int group, stride;
  float eps;
};

void main() {
  const uint64_t offset = uint64_t(gl_WorkGroupID.x) * uint64_t(group) * 4ul;
  const uint64_t from = row_address(src, gl_WorkGroupID.y, stride) + offset;
  Floats y = Floats(row_address(dst, gl_WorkGroupID.y, stride) + offset);
  for (int p = lane_index(); p < 16; p += kLanes) {
    precise float sum = 0.0;
    for (int i = p; i < group; i += 16) sum = fma(ConstFloats(from).v[i], ConstFloats(from).v[i], sum);
    partial[p] = sum;
  }
  precise float scale = 1.0 / sqrt(sum_of_partials() / float(group) + eps);
  for (int i = lane_index(); i < group; i += kLanes) {
    precise float v = ConstFloats(from).v[i] * scale * ConstFloats(weight).v[i];
    y.v[i] = v;
  }
}
