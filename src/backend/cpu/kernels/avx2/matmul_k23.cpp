// Matrix products of Q2_K and Q3_K, whose scales are for 16 values each. The loops over blocks and rows, and
// what a format provides: matmul_k.h.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/matmul_k.h"

namespace moraine::cpu::avx2 {
namespace {

// A part's two sub-blocks of four steps. 16 bits hold four steps of 7 * 127 * 2.
template <int kRows>
MORAINE_INLINE void add_halves(const __m256i* u, const int8_t* q, int64_t q_stride, const __m256i* scale,
                               int j, __m256i* sum) {
  add_scaled<4, kRows>(u, q, q_stride, scale[2 * j], sum);
  add_scaled<4, kRows>(u + 4, q + 16, q_stride, scale[2 * j + 1], sum);
}

// w = d * scale * u - dmin * min.
struct Q2_K {
  static constexpr int kBytes = 8 * 84, kVectors = 8;

  struct Scales {
    __m256i scale[16];     // int16 pairs: the row's scale of 16 values, twice
    __m256i min_pairs[8];  // int16 pairs: the row's mins of sub-blocks 2i and 2i + 1
    __m256 d, dmin;

    MORAINE_INLINE void read(const uint8_t* w) {
      d = load_halves(w);
      dmin = load_halves(w + 16);
#pragma GCC unroll 4
      for (int t = 0; t < 4; ++t) {
        const __m256i b = load(w + 32 + 32 * t);
        const __m256i scales = low_nibbles(b), mins = high_nibbles(b);
        scale[4 * t] = twice<0>(scales);
        scale[4 * t + 1] = twice<1>(scales);
        scale[4 * t + 2] = twice<2>(scales);
        scale[4 * t + 3] = twice<3>(scales);
        min_pairs[2 * t] = side_by_side<0>(mins);
        min_pairs[2 * t + 1] = side_by_side<1>(mins);
      }
    }

    MORAINE_INLINE __m256 add(__m256i dot, const int16_t* sums, __m256 dx, __m256 acc) const {
      __m256i mins = _mm256_madd_epi16(min_pairs[0], broadcast4(sums));
#pragma GCC unroll 8
      for (int i = 1; i < 8; ++i)
        mins = _mm256_add_epi32(mins, _mm256_madd_epi16(min_pairs[i], broadcast4(sums + 2 * i)));
      acc = _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(dot), acc);
      return _mm256_fnmadd_ps(_mm256_mul_ps(dmin, dx), _mm256_cvtepi32_ps(mins), acc);
    }
  };

  template <int j>
  MORAINE_INLINE static void part(const uint8_t* w, __m256i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) u[s] = shift_bits<-(j % 4 * 2)>(load(w + 160 + j / 4 * 256 + 32 * s), 3);
  }
  template <int kRows>
  MORAINE_INLINE static void add(const __m256i* u, const int8_t* q, int64_t q_stride, const Scales& s, int j,
                                 __m256i* sum) {
    add_halves<kRows>(u, q, q_stride, s.scale, j, sum);
  }
};

// w = d * scale * (u - 4): the 4 times the activations' sums are subtracted apart.
struct Q3_K {
  static constexpr int kBytes = 8 * 110, kVectors = 8;

  struct Scales {
    __m256i scale[16];  // int16 pairs: the row's scale of 16 values, twice
    __m256 d;

    // Scales 4t..4t+3 of the rows: low has their low bits in the low nibbles, high the others in bits 0
    // and 1.
    template <int t>
    MORAINE_INLINE void widen(__m256i low, __m256i high) {
      const __m256i b = _mm256_or_si256(low, shift_bits<4 - 2 * t>(high, 0x30));
      const __m256i offset = _mm256_set1_epi16(32);
      scale[4 * t] = _mm256_sub_epi16(twice<0>(b), offset);
      scale[4 * t + 1] = _mm256_sub_epi16(twice<1>(b), offset);
      scale[4 * t + 2] = _mm256_sub_epi16(twice<2>(b), offset);
      scale[4 * t + 3] = _mm256_sub_epi16(twice<3>(b), offset);
    }

    MORAINE_INLINE void read(const uint8_t* w) {
      d = load_halves(w);
      const __m256i a = load(w + 16), b = load(w + 48), high = load(w + 80);
      widen<0>(low_nibbles(a), high);
      widen<1>(low_nibbles(b), high);
      widen<2>(high_nibbles(a), high);
      widen<3>(high_nibbles(b), high);
    }

    MORAINE_INLINE __m256 add(__m256i dot, const int16_t* sums, __m256 dx, __m256 acc) const {
      dot = _mm256_sub_epi32(dot, _mm256_slli_epi32(scaled_sums(scale, sums), 2));
      return _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(dot), acc);
    }
  };

  template <int j>
  MORAINE_INLINE static void part(const uint8_t* w, __m256i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i low = shift_bits<-(j % 4 * 2)>(load(w + 368 + j / 4 * 256 + 32 * s), 3);
      u[s] = _mm256_or_si256(low, shift_bits<2 - j>(load(w + 112 + 32 * s), 4));
    }
  }
  template <int kRows>
  MORAINE_INLINE static void add(const __m256i* u, const int8_t* q, int64_t q_stride, const Scales& s, int j,
                                 __m256i* sum) {
    add_halves<kRows>(u, q, q_stride, s.scale, j, sum);
  }
};

}  // namespace

void matmul_q2_k(const MatmulArgs& a) noexcept { matmul<Q2_K>(a); }
void matmul_q3_k(const MatmulArgs& a) noexcept { matmul<Q3_K>(a); }

}  // namespace moraine::cpu::avx2
