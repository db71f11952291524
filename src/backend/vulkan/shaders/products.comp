// dst_i[r] = W_i x[r] (+ bias_i) for up to three weights of one input: eight weight rows of one of them times kTile
// rows of activations by workgroup.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(constant_id = 1) const int kFormat0 = 0;
layout(constant_id = 2) const int kFormat1 = 0;
layout(constant_id = 4) const int kFormat2 = -1;  // -1: there are two
layout(push_constant) uniform Push {
  uint64_t weight[3], bias[3];  // bias 0: none
  uint64_t x[3];                // activations, as each format takes them
  uint64_t dst[3];
  uint64_t n_rows_at;  // where the number of rows is
  int n[3], k;         // weight rows, values in each
};
#include "matmul.glsl"

int row_bytes(int f) {
  return is_float(f) ? row_stride(k) * 4 : quantized_row_bytes(k, block_width(f));
}

void main() {
  const int place = int(gl_WorkGroupID.y) * kTile;
  n_rows = min(kTile, ConstInts(n_rows_at).v[0] - place);
  for (int t = 0; t < kTile; ++t) x_row[t] = place + t;
  const int n0 = (n[0] + 7) / 8, n1 = n0 + (n[1] + 7) / 8, n2 = n1 + (kFormat2 < 0 ? 0 : (n[2] + 7) / 8);
  for (int g = int(gl_WorkGroupID.x); g < n2; g += int(gl_NumWorkGroups.x)) {
    const int i = g < n0 ? 0 : g < n1 ? 1 : 2;
    const int group = g - (i == 0 ? 0 : i == 1 ? n0 : n1);
    // Code for each format once.
    if (i == 0 || (i == 1 && kFormat1 == kFormat0) || (i == 2 && kFormat2 == kFormat0))
      multiply(kFormat0, weight[i], group, x[i], row_bytes(kFormat0));
    else if (kFormat1 != kFormat0 && (i == 1 || kFormat2 == kFormat1))
      multiply(kFormat1, weight[i], group, x[i], row_bytes(kFormat1));
    else if (kFormat2 >= 0 && kFormat2 != kFormat0 && kFormat2 != kFormat1)
      multiply(kFormat2, weight[i], group, x[i], row_bytes(kFormat2));
    const int o = 8 * group + lane_index() % 8;
    for (int j = 0; j < kOwn; ++j) {
      const int t = lane_index() / 8 + j * kColumns;
      if (t >= n_rows || o >= n[i]) break;
      precise float y = acc[j];
      if (bias[i] != 0ul) y += ConstFloats(bias[i]).v[o];
      Floats(row_address(dst[i], uint(place + t), row_stride(n[i]))).v[o] = y;
    }
  }
}
