// Row-wise scalar kernels: quantisation of activations, norms, activations, rope; and the scalar table.
#include "backend/cpu/kernels/scalar/kernels.h"

#include "backend/cpu/kernels/scalar/math.h"

namespace moraine::cpu {
namespace {

template <int kWidth>
void quantize(const float* x, int32_t k, int8_t* q, float* d, int16_t* sums) noexcept {
  for (int32_t b = 0; b < k / kWidth; ++b, x += kWidth, q += kWidth) {
    float amax = 0.0f;
    for (int i = 0; i < kWidth; ++i) amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    d[b] = amax / 127.0f;
    const float id = amax > 0.0f ? 127.0f / amax : 0.0f;
    for (int i = 0; i < kWidth; ++i) {
      float v = x[i] * id;  // the comparisons also turn a NaN into 127, as min and max of x86 do
      v = v < 127.0f ? v : 127.0f;
      v = v > -127.0f ? v : -127.0f;
      q[i] = static_cast<int8_t>(nearbyintf(v));
    }
    for (int s = 0; s < kWidth / 16; ++s) {
      int sum = 0;
      for (int i = 0; i < 16; ++i) sum += q[16 * s + i];
      *sums++ = static_cast<int16_t>(sum);
    }
  }
}

void rms_norm(const float* x, const float* w, int32_t n, float eps, float* y) noexcept {
  float lane[16] = {};
  for (int32_t i = 0; i < n; ++i) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
  const float scale = 1.0f / sqrtf(tree_sum(lane) / static_cast<float>(n) + eps);
  for (int32_t i = 0; i < n; ++i) y[i] = x[i] * scale * w[i];
}

void add(float* y, const float* x, int32_t n) noexcept {
  for (int32_t i = 0; i < n; ++i) y[i] += x[i];
}

void add_scaled(float* y, const float* x, float s, int32_t n) noexcept {
  for (int32_t i = 0; i < n; ++i) y[i] = fmaf(s, x[i], y[i]);
}

void silu_mul(float* gate, const float* up, int32_t n) noexcept {
  for (int32_t i = 0; i < n; ++i) gate[i] = gate[i] / (1.0f + exp_spec(-gate[i])) * up[i];
}

// gelu(g) = 0.5 g (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))) = g / (1 + exp(-2 sqrt(2/pi) (...)))
void gelu_tanh_mul(float* gate, const float* up, int32_t n) noexcept {
  for (int32_t i = 0; i < n; ++i) {
    const float g = gate[i];
    const float inner = g * fmaf(0.0713548163f, g * g, 1.5957691216f);
    gate[i] = g / (1.0f + exp_spec(-inner)) * up[i];
  }
}

void silu_gate(float* y, const float* g, int32_t n, int32_t g_step) noexcept {
  for (int32_t i = 0; i < n; ++i) {
    const float v = g[i * g_step];
    y[i] *= v / (1.0f + exp_spec(-v));
  }
}

void sigmoid_gate(float* y, const float* g, int32_t n, int32_t g_step) noexcept {
  for (int32_t i = 0; i < n; ++i) y[i] *= 1.0f / (1.0f + exp_spec(-g[i * g_step]));
}

void rope(float* x, const float* cos, const float* sin, int32_t n_pairs, int kind) noexcept {
  for (int32_t i = 0; i < n_pairs; ++i) {
    float* a = kind == 0 ? x + i : x + 2 * i;
    float* b = kind == 0 ? x + i + n_pairs : x + 2 * i + 1;
    const float va = *a, vb = *b;
    *a = fmaf(va, cos[i], -(vb * sin[i]));
    *b = fmaf(va, sin[i], vb * cos[i]);
  }
}

}  // namespace

const Kernels& scalar_kernels() {
  static const Kernels table = [] {
    Kernels k = {};
    k.isa = "scalar";
    scalar_matmul_table(k.matmul);
    k.quantize32 = quantize<32>;
    k.quantize256 = quantize<256>;
    k.rms_norm = rms_norm;
    k.add = add;
    k.add_scaled = add_scaled;
    k.silu_mul = silu_mul;
    k.gelu_tanh_mul = gelu_tanh_mul;
    k.silu_gate = silu_gate;
    k.sigmoid_gate = sigmoid_gate;
    k.rope = rope;
    scalar_delta_net_table(&k);
    scalar_attention_table(&k);
    return k;
  }();
  return table;
}

}  // namespace moraine::cpu
