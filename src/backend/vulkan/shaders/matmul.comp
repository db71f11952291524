// dst[r] = W src[r] (+ bias), float32 weights [n, k]. A workgroup: 4 weight rows x 8 rows.
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
  const int lane = int(gl_LocalInvocationID.x);
  // More weight rows than a dispatch may have workgroups (65,535) are met by striding over them.
  const int step = int(gl_NumWorkGroups.x) * kWeightRows;
  for (int base = int(gl_WorkGroupID.x) * kWeightRows; base < n; base += step) {
    const int o = base + int(gl_LocalInvocationID.y);
    const uint w_row = uint(min(o, n - 1));  // lanes past the end keep the barriers company
    float sum = dot_tile(row_address(weight, w_row, k), row_address(src, uint(first_row), src_stride), src_stride, k, rows);
    if (lane < rows && o < n) {
      if (bias != 0ul) sum += ConstFloats(bias).v[o];
      Floats(row_address(dst, uint(first_row + lane), dst_stride)).v[o] = sum;
    }
  }
}
