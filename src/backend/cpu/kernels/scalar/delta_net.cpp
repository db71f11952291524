// Gated DeltaNet's pieces, one value at a time: the short convolution, the norm of keys and queries, and
// the recurrence on a tile of the state. What is computed: GatedDeltaNet in plan/plan.h; the order of every
// float operation: kernels.h.
#include "backend/cpu/kernels/scalar/kernels.h"
#include "backend/cpu/kernels/scalar/math.h"

namespace moraine::cpu {
namespace {

void conv_silu(const float* const* x, const float* taps, int32_t taps_stride, int32_t n_taps, int32_t n,
               float* y) noexcept {
  for (int32_t c = 0; c < n; ++c) {
    float a = 0.0f;
    for (int32_t i = 0; i < n_taps; ++i) a = fmaf(taps[int64_t{i} * taps_stride + c], x[i][c], a);
    y[c] = a / (1.0f + exp_spec(-a));
  }
}

void l2_norm(float* x, int32_t n, float eps, float scale) noexcept {
  float lane[16] = {};
  for (int32_t i = 0; i < n; ++i) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
  const float norm = 1.0f / sqrtf(tree_sum(lane) + eps);
  for (int32_t i = 0; i < n; ++i) x[i] = x[i] * norm * scale;
}

// sum over c of s[c][i] * x[c], in four interleaved partial sums
float dot_row(const float* s, const float* x, int32_t head_k, int i) {
  float p[4] = {};
  for (int32_t c = 0; c < head_k; ++c) p[c % 4] = fmaf(s[c * kDeltaTile + i], x[c], p[c % 4]);
  return (p[0] + p[1]) + (p[2] + p[3]);
}

void delta_tile(const DeltaArgs& a) noexcept {
  for (int32_t t = 0; t < a.n_tokens; ++t) {
    const float *q = a.q + t * a.qk_stride, *k = a.k + t * a.qk_stride, *v = a.v + t * a.v_stride;
    float* o = a.o + t * a.o_stride;
    for (int i = 0; i < kDeltaTile; ++i) {
      const float u = a.beta[t] * fmaf(-a.decay[t], dot_row(a.s, k, a.head_k, i), v[i]);
      for (int32_t c = 0; c < a.head_k; ++c) {
        float& s = a.s[c * kDeltaTile + i];
        s = fmaf(u, k[c], a.decay[t] * s);
      }
      o[i] = dot_row(a.s, q, a.head_k, i);
    }
  }
}

}  // namespace

void scalar_delta_net_table(Kernels* table) {
  table->conv_silu = conv_silu;
  table->l2_norm = l2_norm;
  table->delta_tile = delta_tile;
}

}  // namespace moraine::cpu
