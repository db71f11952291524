// dst[r] = W x[r] (+ bias), or act(W x[r]) * (W_up x[r]): eight weight rows times kTile rows of activations by
// workgroup. With kExperts a tile's rows are those that chose one expert, whose part of the stack it reads.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(constant_id = 1) const int kFormat = 0;
layout(constant_id = 2) const int kFormatUp = -1;  // -1: no second product
layout(constant_id = 4) const int kExperts = 0;
layout(constant_id = 5) const int kGelu = 0;  // what the second product is multiplied with: 0 SiLU, 1 GELU
layout(push_constant) uniform Push {
  uint64_t weight, up, bias;  // bias 0: none
  uint64_t x, x_up;           // activations, as the format of `weight` and of `up` takes them
  uint64_t dst;
  uint64_t tiles;    // where the number of rows is; experts: their tiles (sort_pairs.comp)
  uint64_t pair_at;  // experts: the pair at each place, whose row is pair / top_k; 0: the place's own row
  int n, k;          // weight rows (of one expert), values in each
  int x_stride, x_up_stride;  // bytes
  int dst_stride;             // floats
  int top_k;
};

#include "matmul.glsl"

void main() {
  int place = int(gl_WorkGroupID.y) * kTile, expert = 0;
  if (kExperts != 0) {
    ConstInts t = ConstInts(tiles);
    const int tile = int(gl_WorkGroupID.y);
    if (tile >= t.v[0]) return;
    expert = t.v[4 + 4 * tile];
    place = t.v[5 + 4 * tile];
    n_rows = t.v[6 + 4 * tile];
  } else {
    n_rows = min(kTile, ConstInts(tiles).v[0] - place);
  }
  for (int t = 0; t < kTile; ++t)
    x_row[t] = kExperts != 0 && pair_at != 0ul && t < n_rows ? ConstInts(pair_at).v[place + t] / top_k : place + t;

  const int n_groups = (n + 7) / 8;
  for (int g = int(gl_WorkGroupID.x); g < n_groups; g += int(gl_NumWorkGroups.x)) {
    const int o = 8 * g + lane_index() % 8, c = lane_index() / 8;
    multiply(kFormat, weight, expert * n_groups + g, x, x_stride);
    float first[kOwn];
    if (kFormatUp >= 0) {
      for (int i = 0; i < kOwn; ++i) first[i] = acc[i];
      multiply(kFormatUp, up, expert * n_groups + g, x_up, x_up_stride);
    }
    for (int i = 0; i < kOwn; ++i) {
      const int t = c + i * kColumns;
      if (t >= n_rows || o >= n) break;
      precise float y = acc[i];
      if (kFormatUp >= 0) y = (kGelu != 0 ? gelu_tanh(first[i]) : silu(first[i])) * y;
      if (bias != 0ul) y += ConstFloats(bias).v[o];
      Floats(row_address(dst, uint(place + t), dst_stride)).v[o] = y;
    }
  }
}
