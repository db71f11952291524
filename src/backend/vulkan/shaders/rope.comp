// Rotates each head of a row. Cos and sin come from the host, in double and rounded once (Vulkan's own
// are only good to 2^-11): table[row][0..n_pairs) cos, then as many sin. A workgroup for each head.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(push_constant) uniform Push {
  uint64_t x, table;
  int stride, head_dim, n_pairs, adjacent;  // adjacent 0: pairs (i, i + n_pairs), 1: (2i, 2i + 1)
};

void main() {
  Floats head = Floats(row_address(x, gl_WorkGroupID.y, stride) + uint64_t(gl_WorkGroupID.x * uint(head_dim)) * 4ul);
  ConstFloats t = ConstFloats(row_address(table, gl_WorkGroupID.y, 2 * n_pairs));
  for (int i = lane_index(); i < n_pairs; i += kLanes) {
    const int a = adjacent != 0 ? 2 * i : i;
    const int b = adjacent != 0 ? 2 * i + 1 : i + n_pairs;
    const float va = head.v[a], vb = head.v[b], c = t.v[i], s = t.v[n_pairs + i];
    precise float bs = vb * s, bc = vb * c;
    precise float to_a = fma(va, c, -bs), to_b = fma(va, s, bc);
    head.v[a] = to_a;
    head.v[b] = to_b;
  }
}
