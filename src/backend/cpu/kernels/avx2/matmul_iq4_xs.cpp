// Matrix products of IQ4_XS. The loops over blocks and rows, and what a format provides: matmul_k.h.
#include "backend/cpu/kernels/avx2/codebook.h"
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/matmul_k.h"

namespace moraine::cpu::avx2 {
namespace {

// w = d * scale * (u - 128), u of eight bits in two planes of nibbles: the first eight vectors and the
// others.
struct IQ4_XS {
  static constexpr int kBytes = 8 * 136, kVectors = 16;

  struct Scales {
    __m256i scale[8];  // int16 pairs: the row's scale of part j, twice
    __m256 d;

    MORAINE_INLINE void read(const uint8_t* w) {
      d = load_halves(w);
      __m256i b[2];
      six_bits(w + 16, b);
      const __m256i offset = _mm256_set1_epi16(32);
#pragma GCC unroll 2
      for (int t = 0; t < 2; ++t) {
        scale[4 * t] = _mm256_sub_epi16(twice<0>(b[t]), offset);
        scale[4 * t + 1] = _mm256_sub_epi16(twice<1>(b[t]), offset);
        scale[4 * t + 2] = _mm256_sub_epi16(twice<2>(b[t]), offset);
        scale[4 * t + 3] = _mm256_sub_epi16(twice<3>(b[t]), offset);
      }
    }

    MORAINE_INLINE __m256 add(__m256i dot, const int16_t* sums, __m256 dx, __m256 acc) const {
      __m256i offset = _mm256_madd_epi16(scale[0], broadcast4(sums));
#pragma GCC unroll 8
      for (int j = 1; j < 8; ++j)
        offset = _mm256_add_epi32(offset, _mm256_madd_epi16(scale[j], broadcast4(sums + 2 * j)));
      dot = _mm256_sub_epi32(dot, _mm256_slli_epi32(offset, 7));
      return _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(dot), acc);
    }
  };

  template <int j>
  MORAINE_INLINE static void part(const uint8_t* w, __m256i u[16]) {
    Iq4Planes().look_up(w + 64 + 128 * j, u, u + 8);
  }
  template <int kRows>
  MORAINE_INLINE static void add(const __m256i* u, const int8_t* q, int64_t q_stride, const Scales& s, int j,
                                 __m256i* sum) {
    __m256i low[kRows], high[kRows];
    dot_planes<kRows>(u, u + 8, q, q_stride, low, high);
    const __m256i scale = s.scale[j], scale_16 = _mm256_slli_epi16(scale, 4);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m)
      sum[m] = _mm256_add_epi32(
          sum[m], _mm256_add_epi32(_mm256_madd_epi16(low[m], scale), _mm256_madd_epi16(high[m], scale_16)));
  }
};

}  // namespace

void matmul_iq4_xs(const MatmulArgs& a) noexcept { matmul<IQ4_XS>(a); }

}  // namespace moraine::cpu::avx2
