// Matrix products of Q4_K, Q5_K, Q6_K. The loops over blocks and rows, and what a format provides:
// matmul_k.h.
#include "backend/cpu/kernels/avx2/matmul_k.h"

#include "backend/cpu/kernels/avx2/kernels.h"

namespace moraine::cpu::avx2 {
namespace {

// Q4_K and Q5_K: w = d * scale * u - dmin * min. 6-bit scales and mins, one for each part.
struct ScalesAndMins {
  __m256i scale[8];      // int16 pairs: the row's scale of part j, twice
  __m256i min_pairs[4];  // int16 pairs: the row's mins of parts 2i and 2i + 1
  __m256 d, dmin;

  MORAINE_INLINE void read(const uint8_t* w) {
    d = load_halves(w);
    dmin = load_halves(w + 16);
    __m256i b[2];
    six_bits(w + 32, b);
#pragma GCC unroll 2
    for (int t = 0; t < 2; ++t) {
      scale[4 * t] = twice<0>(b[t]);
      scale[4 * t + 1] = twice<1>(b[t]);
      scale[4 * t + 2] = twice<2>(b[t]);
      scale[4 * t + 3] = twice<3>(b[t]);
    }
    six_bits(w + 80, b);
#pragma GCC unroll 2
    for (int t = 0; t < 2; ++t) {
      min_pairs[2 * t] = side_by_side<0>(b[t]);
      min_pairs[2 * t + 1] = side_by_side<1>(b[t]);
    }
  }

  MORAINE_INLINE __m256 add(__m256i dot, const int16_t* sums, __m256 dx, __m256 acc) const {
    alignas(16) int16_t part_sums[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(part_sums), _mm_hadd_epi16(load128(sums), load128(sums + 8)));
    __m256i mins = _mm256_madd_epi16(min_pairs[0], broadcast4(part_sums));
#pragma GCC unroll 4
    for (int i = 1; i < 4; ++i)
      mins = _mm256_add_epi32(mins, _mm256_madd_epi16(min_pairs[i], broadcast4(part_sums + 2 * i)));
    acc = _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(dot), acc);
    return _mm256_fnmadd_ps(_mm256_mul_ps(dmin, dx), _mm256_cvtepi32_ps(mins), acc);
  }
};

struct Q4_K {
  static constexpr int kBytes = 8 * 144, kVectors = 8;
  using Scales = ScalesAndMins;

  template <int j>
  MORAINE_INLINE static void part(const uint8_t* w, __m256i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i v = load(w + 128 + j / 2 * 256 + 32 * s);
      u[s] = j % 2 ? high_nibbles(v) : low_nibbles(v);
    }
  }
  template <int kRows>
  MORAINE_INLINE static void add(const __m256i* u, const int8_t* q, int64_t q_stride, const Scales& s, int j,
                                 __m256i* sum) {
    add_scaled<8, kRows>(u, q, q_stride, s.scale[j], sum);
  }
};

struct Q5_K {
  static constexpr int kBytes = 8 * 176, kVectors = 8;
  using Scales = ScalesAndMins;

  template <int j>
  MORAINE_INLINE static void part(const uint8_t* w, __m256i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i v = load(w + 384 + j / 2 * 256 + 32 * s);
      const __m256i high = shift_bits<4 - j>(load(w + 128 + 32 * s), 16);
      u[s] = _mm256_or_si256(j % 2 ? high_nibbles(v) : low_nibbles(v), high);
    }
  }
  template <int kRows>
  MORAINE_INLINE static void add(const __m256i* u, const int8_t* q, int64_t q_stride, const Scales& s, int j,
                                 __m256i* sum) {
    add_scaled<4, kRows>(u, q, q_stride, s.scale[j], sum);
    add_scaled<4, kRows>(u + 4, q + 16, q_stride, s.scale[j], sum);
  }
};

// Q6_K: w = d * scale * (u - 32), a scale for each 16 values: the 32 times the activations' sums are
// subtracted apart.
struct Q6_K {
  static constexpr int kBytes = 8 * 210, kVectors = 8;

  struct Scales {
    __m256i scale[16];  // int16 pairs: the row's scale of 16 values, twice
    __m256 d;

    MORAINE_INLINE void read(const uint8_t* w) {
      d = load_halves(w);
      const __m256i high_bytes = _mm256_setr_epi8(-1, 0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3,  //
                                                  -1, 4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7);
#pragma GCC unroll 16
      for (int j = 0; j < 16; ++j) {
        int64_t rows;
        memcpy(&rows, w + 16 + 8 * j, 8);
        scale[j] = _mm256_srai_epi16(_mm256_shuffle_epi8(_mm256_set1_epi64x(rows), high_bytes), 8);
      }
    }

    MORAINE_INLINE __m256 add(__m256i dot, const int16_t* sums, __m256 dx, __m256 acc) const {
      dot = _mm256_sub_epi32(dot, _mm256_slli_epi32(scaled_sums(scale, sums), 5));
      return _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(dot), acc);
    }
  };

  template <int j>
  MORAINE_INLINE static void part(const uint8_t* w, __m256i u[8]) {
    constexpr int kQuarter = j % 4;
    const uint8_t* half = w + 144 + j / 4 * 768;
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i v = load(half + kQuarter % 2 * 256 + 32 * s);
      const __m256i high = shift_bits<4 - 2 * kQuarter>(load(half + 512 + 32 * s), 0x30);
      u[s] = _mm256_or_si256(kQuarter < 2 ? low_nibbles(v) : high_nibbles(v), high);
    }
  }
  template <int kRows>
  MORAINE_INLINE static void add(const __m256i* u, const int8_t* q, int64_t q_stride, const Scales& s, int j,
                                 __m256i* sum) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)  // two steps of 63 * 127 * 2 fill 16 bits
      add_scaled<2, kRows>(u + 2 * i, q + 8 * i, q_stride, s.scale[2 * j + i / 2], sum);
  }
};

}  // namespace

void matmul_q4_k(const MatmulArgs& a) noexcept { matmul<Q4_K>(a); }
void matmul_q5_k(const MatmulArgs& a) noexcept { matmul<Q5_K>(a); }
void matmul_q6_k(const MatmulArgs& a) noexcept { matmul<Q6_K>(a); }

}  // namespace moraine::cpu::avx2
