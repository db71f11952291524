// Rotates each head of a row: rotate.glsl. A workgroup for each head.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "rotate.glsl"
layout(push_constant) uniform Push {
  uint64_t x, angles;  // angles: [row][2][n_pairs]
  int stride, head_dim, n_pairs, adjacent;
};

void main() {
  Floats head = Floats(row_address(x, gl_WorkGroupID.y, stride) + uint64_t(gl_WorkGroupID.x * uint(head_dim)) * 4ul);
  for (int i = lane_index(); i < n_pairs; i += kLanes) {
    const ivec2 pair = pair_at(i, n_pairs, adjacent);
    const vec2 turned = rotate_pair(vec2(head.v[pair.x], head.v[pair.y]), row_address(angles, gl_WorkGroupID.y, 2 * n_pairs), i, n_pairs);
    head.v[pair.x] = turned.x, head.v[pair.y] = turned.y;
  }
}
