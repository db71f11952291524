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
  const uint64_t x = row_address(src, uint(first_row), src_stride);
  for (int o = first_weight_row(); o < n; o += weight_row_step()) {
    float g[kTile], u[kTile];
    dot_tile(row_address(gate, uint(o), k), x, src_stride, k, rows, g);
    dot_tile(row_address(up, uint(o), k), x, src_stride, k, rows, u);
    if (subgroupElect())
      for (int r = 0; r < kTile; ++r)
        if (r < rows) Floats(row_address(dst, uint(first_row + r), dst_stride)).v[o] = activate(g[r]) * u[r];
  }
}
