// dst = src * (mean(src^2) + eps)^-1/2 * weight by group of values. A workgroup for each group of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
const int kLanes = 64;
layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  uint64_t src, dst, weight;
  int group, stride;
  float eps;
};

shared float sums[kLanes];

void main() {
  const int lane = int(gl_LocalInvocationID.x);
  const uint64_t offset = uint64_t(gl_WorkGroupID.x) * uint64_t(group) * 4ul;
  ConstFloats x = ConstFloats(row_address(src, gl_WorkGroupID.y, stride) + offset);
  Floats y = Floats(row_address(dst, gl_WorkGroupID.y, stride) + offset);
  ConstFloats w = ConstFloats(weight);

  float sum = 0.0;
  for (int i = lane; i < group; i += kLanes) sum = fma(x.v[i], x.v[i], sum);
  sums[lane] = sum;
  barrier();
  sum = 0.0;
  for (int i = 0; i < kLanes; ++i) sum += sums[i];  // by every lane: cheaper than a tree's barriers
  const float scale = 1.0 / sqrt(sum / float(group) + eps);
  for (int i = lane; i < group; i += kLanes) y.v[i] = x.v[i] * scale * w.v[i];
}
