// dst[r] = W src[r] (+ bias), float32 weights [n, k]. A subgroup: a weight row x 8 rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"
layout(push_constant) uniform Push {
  uint64_t weight, bias, src, dst, n_rows;  // bias 0: none; n_rows: where the number of rows is
  int n, k, src_stride, dst_stride;
};

void main() {
  const int first_row = int(gl_WorkGroupID.y) * kTile;
  const int rows = min(kTile, Ints(n_rows).v[0] - first_row);
  const uint64_t x = row_address(src, uint(first_row), src_stride);
  for (int o = first_weight_row(); o < n; o += weight_row_step()) {
    float sums[kTile];
    dot_tile(row_address(weight, uint(o), k), x, src_stride, k, rows, sums);
    if (subgroupElect()) {
      const float b = bias != 0ul ? ConstFloats(bias).v[o] : 0.0;
      for (int r = 0; r < kTile; ++r)
        if (r < rows) Floats(row_address(dst, uint(first_row + r), dst_stride)).v[o] = sums[r] + b;
    }
  }
}
