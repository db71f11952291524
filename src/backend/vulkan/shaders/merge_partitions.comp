// The partitions that attend.comp left apart, merged ascending. A workgroup for each query head of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "merge.glsl"
layout(push_constant) uniform Push {
  uint64_t partials, dst, positions;
  int stride, head_dim, window, most_partitions;
};
const int kPartition = 512;

void main() {
  const uint row = gl_WorkGroupID.y, head = gl_WorkGroupID.x;
  const int pos = ConstInts(positions).v[row];
  const int lo = window > 0 ? max(0, pos - window + 1) : 0, n = pos / kPartition - lo / kPartition + 1;
  const uint64_t parts = row_address(partials, (row * gl_NumWorkGroups.x + head) * uint(most_partitions), head_dim + 2);
  Floats d = Floats(row_address(dst, row, stride) + uint64_t(head * uint(head_dim)) * 4ul);
  for (int i = lane_index(); i < head_dim; i += kLanes) {
    float M = uintBitsToFloat(0xff800000u), L = 0.0, O = 0.0;
    for (int p = 0; p < n; ++p) {
      ConstFloats part = ConstFloats(row_address(parts, uint(p), head_dim + 2));
      const float l = part.v[head_dim + 1];
      if (l == 0.0) continue;
      const Weights w = merge_weights(M, part.v[head_dim]);
      M = w.top;
      L = merged(L, l, w);
      O = merged(O, part.v[i], w);
    }
    precise float y = O / L;
    d.v[i] = y;
  }
}
