// Matrix products over interleaved weights, one value at a time: the specification of every matmul
// kernel. For each output: acc = 0; blocks ascending; within a block everything is an exact int32;
// then the float operations written here, in this order.
#include "backend/cpu/kernels/scalar/kernels.h"
#include "backend/cpu/kernels/scalar/math.h"
#include "quant/half.h"
#include "quant/layout.h"

namespace moraine::cpu {
namespace {

// value v of a 32-value block of nibbles laid in 4 steps, for one row
int nibble(const uint8_t* nibbles, int row, int v) {
  const uint8_t b = nibbles[(v % 16) / 4 * 32 + row * 4 + v % 4];
  return v < 16 ? b & 15 : b >> 4;
}

struct Q4_0 {
  static constexpr int kWidth = 32, kBytes = 8 * 18;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t* s, float dx, float acc) {
    int32_t dot = -8 * (s[0] + s[1]);
    for (int v = 0; v < 32; ++v) dot += nibble(w + 16, row, v) * q[v];
    return fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
  }
};

struct Q4_1 {
  static constexpr int kWidth = 32, kBytes = 8 * 20;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t* s, float dx, float acc) {
    int32_t dot = 0;
    for (int v = 0; v < 32; ++v) dot += nibble(w + 32, row, v) * q[v];
    acc = fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
    return fmaf(load_half(w + 16 + 2 * row), dx * static_cast<float>(s[0] + s[1]), acc);
  }
};

// value v of a block of 5-bit values: 32 bytes of fifth bits, then nibbles
int five_bits(const uint8_t* w, int row, int v) {
  const int high = (w[row * 4 + v % 4] >> (v / 4)) & 1;
  return nibble(w + 32, row, v) | (high << 4);
}

struct Q5_0 {
  static constexpr int kWidth = 32, kBytes = 8 * 22;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t* s, float dx, float acc) {
    int32_t dot = -16 * (s[0] + s[1]);
    for (int v = 0; v < 32; ++v) dot += five_bits(w + 16, row, v) * q[v];
    return fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
  }
};

struct Q5_1 {
  static constexpr int kWidth = 32, kBytes = 8 * 24;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t* s, float dx, float acc) {
    int32_t dot = 0;
    for (int v = 0; v < 32; ++v) dot += five_bits(w + 32, row, v) * q[v];
    acc = fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
    return fmaf(load_half(w + 16 + 2 * row), dx * static_cast<float>(s[0] + s[1]), acc);
  }
};

struct Q8_0 {
  static constexpr int kWidth = 32, kBytes = 8 * 34;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t*, float dx, float acc) {
    int32_t dot = 0;
    for (int v = 0; v < 32; ++v) dot += static_cast<int8_t>(w[16 + v / 4 * 32 + row * 4 + v % 4]) * q[v];
    return fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
  }
};

struct IQ4_NL {
  static constexpr int kWidth = 32, kBytes = 8 * 18;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t*, float dx, float acc) {
    int32_t dot = 0;
    for (int v = 0; v < 32; ++v) dot += quant::kIq4Values[nibble(w + 16, row, v)] * q[v];
    return fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
  }
};

struct MXFP4 {
  static constexpr int kWidth = 32, kBytes = 8 * 17;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t*, float dx, float acc) {
    int32_t dot = 0;
    for (int v = 0; v < 32; ++v) dot += quant::mxfp4::kTwiceValues[nibble(w + 8, row, v)] * q[v];
    const float d = quant::float_from_bits(quant::half_e8m0_bits(w[row]));
    return fmaf(d * dx, static_cast<float>(dot), acc);
  }
};

// two bits of value i of a block of 256, in two halves of 8 steps
int two_bits(const uint8_t* steps, int row, int i) {
  return steps[i / 128 * 256 + i % 32 / 4 * 32 + row * 4 + i % 4] >> (i / 32 % 4 * 2) & 3;
}

struct Q2_K {
  static constexpr int kWidth = 256, kBytes = 8 * 84;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t* s, float dx, float acc) {
    int32_t dot = 0, mins = 0;
    for (int j = 0; j < 16; ++j) {
      int32_t sub = 0;
      for (int i = 16 * j; i < 16 * j + 16; ++i) sub += two_bits(w + 160, row, i) * q[i];
      const uint8_t scale_and_min = w[32 + 8 * j + row];
      dot += (scale_and_min & 15) * sub;
      mins += (scale_and_min >> 4) * s[j];
    }
    acc = fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
    return fmaf(-(load_half(w + 16 + 2 * row) * dx), static_cast<float>(mins), acc);
  }
};

struct Q3_K {
  static constexpr int kWidth = 256, kBytes = 8 * 110;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t* s, float dx, float acc) {
    uint8_t scales[12];
    for (int i = 0; i < 12; ++i) scales[i] = w[16 + 8 * i + row];
    int32_t dot = 0;
    for (int j = 0; j < 16; ++j) {
      int32_t sub = -4 * s[j];
      for (int i = 16 * j; i < 16 * j + 16; ++i) {
        const int high = w[112 + i % 32 / 4 * 32 + row * 4 + i % 4] >> (i / 32) & 1;
        sub += (two_bits(w + 368, row, i) | (high << 2)) * q[i];
      }
      dot += quant::q3_k_scale(scales, j) * sub;
    }
    return fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
  }
};

// 6-bit scale (part 0) or min (part 1) of sub-block j
int k_scale(const uint8_t* scales, int part, int row, int j) {
  const uint8_t* lo = scales + 48 * part;
  const uint8_t* hi = lo + 32;
  return ((lo[(j % 4) * 8 + row] >> (4 * (j / 4))) & 15) |
         (((hi[(j / 4) * 8 + row] >> (2 * (j % 4))) & 3) << 4);
}

template <bool kFifthBit>
struct Q45_K {
  static constexpr int kWidth = 256, kBytes = 8 * (kFifthBit ? 176 : 144);
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t* s, float dx, float acc) {
    const uint8_t* qh = w + 128;
    const uint8_t* nibbles = w + 128 + (kFifthBit ? 256 : 0);
    int32_t dot = 0, mins = 0;
    for (int j = 0; j < 8; ++j) {
      int32_t sub = 0;
      for (int v = 0; v < 32; ++v) {
        const uint8_t b = nibbles[(j / 2) * 256 + v / 4 * 32 + row * 4 + v % 4];
        int x = j % 2 ? b >> 4 : b & 15;
        if (kFifthBit) x |= ((qh[v / 4 * 32 + row * 4 + v % 4] >> j) & 1) << 4;
        sub += x * q[32 * j + v];
      }
      dot += k_scale(w + 32, 0, row, j) * sub;
      mins += k_scale(w + 32, 1, row, j) * (s[2 * j] + s[2 * j + 1]);
    }
    acc = fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
    return fmaf(-(load_half(w + 16 + 2 * row) * dx), static_cast<float>(mins), acc);
  }
};

struct Q6_K {
  static constexpr int kWidth = 256, kBytes = 8 * 210;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t* s, float dx, float acc) {
    int32_t dot = 0;
    for (int j = 0; j < 16; ++j) {         // sub-blocks of 16 values
      const int n = j / 8, u = j % 8 / 2;  // half, quarter of the half
      const uint8_t* half = w + 144 + 768 * n;
      int32_t sub = -32 * s[j];
      for (int i = 0; i < 16; ++i) {
        const int l = 16 * (j % 2) + i;
        const int at = l / 4 * 32 + row * 4 + l % 4;
        const uint8_t low = half[256 * (u % 2) + at];
        const int x = (u < 2 ? low & 15 : low >> 4) | (((half[512 + at] >> (2 * u)) & 3) << 4);
        sub += x * q[16 * j + i];
      }
      dot += static_cast<int8_t>(w[16 + 8 * j + row]) * sub;
    }
    return fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
  }
};

struct IQ4_XS {
  static constexpr int kWidth = 256, kBytes = 8 * 136;
  static float block(const uint8_t* w, int row, const int8_t* q, const int16_t*, float dx, float acc) {
    int32_t dot = 0;
    for (int j = 0; j < 8; ++j) {
      int32_t sub = 0;
      for (int v = 0; v < 32; ++v) sub += quant::kIq4Values[nibble(w + 64 + 128 * j, row, v)] * q[32 * j + v];
      dot += (k_scale(w + 16, 0, row, j) - 32) * sub;
    }
    return fmaf(load_half(w + 2 * row) * dx, static_cast<float>(dot), acc);
  }
};

template <class T>
void matmul_quant(const MatmulArgs& a) noexcept {
  const int n_blocks = a.k / T::kWidth;
  for (int m = 0; m < a.n_rows; ++m)
    for (int g = 0; g < a.n_groups; ++g)
      for (int r = 0; r < 8; ++r) {
        const uint8_t* w = a.w + g * a.group_bytes;
        const int8_t* q = a.x.q + m * a.x.q_stride;
        const int16_t* s = a.x.sums + m * a.x.s_stride;
        const float* d = a.x.d + m * a.x.d_stride;
        float acc = 0.0f;
        for (int b = 0; b < n_blocks; ++b, w += T::kBytes, q += T::kWidth, s += T::kWidth / 16)
          acc = T::block(w, r, q, s, d[b], acc);
        a.y[m * a.y_stride + 8 * g + r] = acc;
      }
}

struct F32 {
  static float get(const uint8_t* w) {
    float f;
    memcpy(&f, w, 4);
    return f;
  }
  static constexpr int kBytes = 4;
};
struct F16 {
  static float get(const uint8_t* w) { return load_half(w); }
  static constexpr int kBytes = 2;
};
struct BF16 {
  static float get(const uint8_t* w) {
    const uint32_t bits = static_cast<uint32_t>(load_u16(w)) << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
  }
  static constexpr int kBytes = 2;
};

// Float weights, float activations: fused multiply-adds over k ascending.
template <class T>
void matmul_float(const MatmulArgs& a) noexcept {
  for (int m = 0; m < a.n_rows; ++m)
    for (int g = 0; g < a.n_groups; ++g)
      for (int r = 0; r < 8; ++r) {
        const uint8_t* w = a.w + g * a.group_bytes + r * T::kBytes;
        const float* x = a.xf + m * a.xf_stride;
        float acc = 0.0f;
        for (int k = 0; k < a.k; ++k) acc = fmaf(T::get(w + int64_t{8} * k * T::kBytes), x[k], acc);
        a.y[m * a.y_stride + 8 * g + r] = acc;
      }
}

}  // namespace

void scalar_matmul_table(MatmulFn* table) {
  table[0] = matmul_float<F32>;
  table[1] = matmul_float<F16>;
  table[30] = matmul_float<BF16>;
  table[2] = matmul_quant<Q4_0>;
  table[3] = matmul_quant<Q4_1>;
  table[6] = matmul_quant<Q5_0>;
  table[7] = matmul_quant<Q5_1>;
  table[8] = matmul_quant<Q8_0>;
  table[10] = matmul_quant<Q2_K>;
  table[11] = matmul_quant<Q3_K>;
  table[12] = matmul_quant<Q45_K<false>>;
  table[13] = matmul_quant<Q45_K<true>>;
  table[14] = matmul_quant<Q6_K>;
  table[20] = matmul_quant<IQ4_NL>;
  table[23] = matmul_quant<IQ4_XS>;
  table[39] = matmul_quant<MXFP4>;
}

}  // namespace moraine::cpu
