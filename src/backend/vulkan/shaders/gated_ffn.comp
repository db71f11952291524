// dst[r] = act(Wg src[r]) * (Wu src[r]), float32 weights [n, k]. Grid as matmul.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "dot.glsl"
layout(push_constant) uniform Push {
  uint64_t gate, up, src, dst, n_rows;
  int n, k, src_stride, dst_stride, act;  // act 0: SiLU, 1: GELU (tanh)
};

// gelu(g) = 0.5 g (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))) = g / (1 + exp(-2 sqrt(2/pi) (...)))
float activate(float g) {
  const float inner = act == 0 ? g : g * fma(0.0713548163, g * g, 1.5957691216);
  return g / (1.0 + exp_spec(-inner));
}

void main() {
  const int first_row = int(gl_WorkGroupID.y) * kTile;
  const int rows = min(kTile, Ints(n_rows).v[0] - first_row);
  const int lane = int(gl_LocalInvocationID.x);
  const int step = int(gl_NumWorkGroups.x) * kWeightRows;
  const uint64_t x = row_address(src, uint(first_row), src_stride);
  for (int base = int(gl_WorkGroupID.x) * kWeightRows; base < n; base += step) {
    const int o = base + int(gl_LocalInvocationID.y);
    const uint w_row = uint(min(o, n - 1));
    const float g = dot_tile(row_address(gate, w_row, k), x, src_stride, k, rows);
    const float u = dot_tile(row_address(up, w_row, k), x, src_stride, k, rows);
    if (lane < rows && o < n)
      Floats(row_address(dst, uint(first_row + lane), dst_stride)).v[o] = activate(g) * u;
  }
}
