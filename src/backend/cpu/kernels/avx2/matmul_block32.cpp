// Matrix products of the formats with 32-value blocks: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0. The loops over blocks
// and rows, and what a format provides: matmul_block32.h.
#include "backend/cpu/kernels/avx2/matmul_block32.h"

#include "backend/cpu/kernels/avx2/kernels.h"

namespace moraine::cpu::avx2 {
namespace {

// 32 nibbles as bytes: values 4s..4s+3 of the rows in u[s], 16+4s.. in u[4 + s].
MORAINE_INLINE void unpack_nibbles(const uint8_t* w, __m256i u[8]) {
#pragma GCC unroll 4
  for (int s = 0; s < 4; ++s) {
    const __m256i v = load(w + 32 * s);
    u[s] = low_nibbles(v);
    u[4 + s] = high_nibbles(v);
  }
}

// Bit 4 of 32 values, at the front, and their nibbles.
MORAINE_INLINE void unpack_five_bits(const uint8_t* w, __m256i u[8]) {
  const __m256i qh = load(w);
  const __m256i bit4 = _mm256_set1_epi8(16);
#pragma GCC unroll 4
  for (int s = 0; s < 4; ++s) {
    const __m256i v = load(w + 32 + 32 * s);
    const __m256i low = _mm256_and_si256(_mm256_slli_epi16(qh, 4 - s), bit4);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi16(qh, s), bit4);
    u[s] = _mm256_or_si256(low_nibbles(v), low);
    u[4 + s] = _mm256_or_si256(high_nibbles(v), high);
  }
}

// Weights are unsigned nibbles minus 8: the 8 times the activations' sum is subtracted apart.
struct Q4_0 {
  static constexpr int kBytes = 8 * 18;
  using Block = BytesBlock;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
    unpack_nibbles(w + 16, b.u);
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256) { return offset_correction<8>(sums); }
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    dot_u4<kRows>(b.u, q, q_stride, dot);
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    return add_with_offset(b.d, dot, dx, fix, acc);
  }
};

struct BlockWithMin {
  __m256i u[8];
  __m256 d, min;
};

struct Q4_1 {
  static constexpr int kBytes = 8 * 20;
  using Block = BlockWithMin;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
    b.min = load_halves(w + 16);
    unpack_nibbles(w + 32, b.u);
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256 dx) {
    return _mm256_mul_ps(dx, _mm256_cvtepi32_ps(sums));
  }
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    dot_u4<kRows>(b.u, q, q_stride, dot);
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    return add_with_min(b.d, b.min, dot, dx, fix, acc);
  }
};

struct Q5_0 {
  static constexpr int kBytes = 8 * 22;
  using Block = BytesBlock;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
    unpack_five_bits(w + 16, b.u);
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256) { return offset_correction<16>(sums); }
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    dot_u5<kRows>(b.u, q, q_stride, dot);
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    return add_with_offset(b.d, dot, dx, fix, acc);
  }
};

struct Q5_1 {
  static constexpr int kBytes = 8 * 24;
  using Block = BlockWithMin;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
    b.min = load_halves(w + 16);
    unpack_five_bits(w + 32, b.u);
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256 dx) { return Q4_1::correction(sums, dx); }
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    dot_u5<kRows>(b.u, q, q_stride, dot);
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    return add_with_min(b.d, b.min, dot, dx, fix, acc);
  }
};

// Few rows: signs, which take the fewest instructions to unpack.
struct Q8_0Signed : Signed {
  static constexpr int kBytes = 8 * 34;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) b.u[s] = load(w + 16 + 32 * s);
    return b;
  }
};

// Many rows: planes, fewer of whose instructions need the multiplier's ports.
struct Q8_0Planes : Planes {
  static constexpr int kBytes = 8 * 34;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i v = _mm256_xor_si256(load(w + 16 + 32 * s), _mm256_set1_epi8(-128));
      b.low[s] = low_nibbles(v);
      b.high[s] = high_nibbles(v);
    }
    return b;
  }
};

}  // namespace

void matmul_q4_0(const MatmulArgs& a) noexcept { matmul<Q4_0, Q4_0>(a); }
void matmul_q4_1(const MatmulArgs& a) noexcept { matmul<Q4_1, Q4_1>(a); }
void matmul_q5_0(const MatmulArgs& a) noexcept { matmul<Q5_0, Q5_0>(a); }
void matmul_q5_1(const MatmulArgs& a) noexcept { matmul<Q5_1, Q5_1>(a); }
void matmul_q8_0(const MatmulArgs& a) noexcept { matmul<Q8_0Signed, Q8_0Planes>(a); }

}  // namespace moraine::cpu::avx2
