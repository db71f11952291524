// Matrix products of the formats with 256-value blocks: Q4_K, Q5_K, Q6_K.
//
// The eight rows of a group are the eight lanes. A block is eight parts of 32 values; a part's dot
// products stay 16 bits wide until one multiplication by the part's integer scales widens them. For a few
// activation rows a part is unpacked in registers and used at once; for many, a whole block is unpacked
// into 2 KB of stack and used by all of them. y itself carries the sums from block to block. The float
// operations are those of kernels/scalar/matmul.cpp, in its order.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/simd.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr int kParts = 8;
constexpr int kTile = 4;       // activation rows that share an unpacked part
constexpr int kPanelRows = 8;  // from this many on, unpacking to memory pays

MORAINE_INLINE __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
MORAINE_INLINE __m256i high_nibbles(__m256i v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

// Shifts bits up (left > 0) or down and keeps those of `mask` in each byte.
template <int kLeft>
MORAINE_INLINE __m256i shift_bits(__m256i v, int mask) {
  if constexpr (kLeft > 0) v = _mm256_slli_epi16(v, kLeft);
  if constexpr (kLeft < 0) v = _mm256_srli_epi16(v, -kLeft);
  return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
}

// A format provides: Scales, what a block needs besides its quants; part<j>(): the eight unpacked
// vectors of part j; dot(): one part times one activation block, scaled, added to an int32 sum; add():
// a block's sum turned to float and added to acc.

// Q4_K and Q5_K: w = d * scale * u - dmin * min. 6-bit scales and mins, one for each part.
struct ScalesAndMins {
  __m256i scale[8];      // int16 pairs: the row's scale of part j, twice
  __m256i min_pairs[4];  // int16 pairs: the row's mins of parts 2i and 2i + 1
  __m256 d, dmin;

  // The bytes [8 parts][8 rows] of scales (or mins) from 48 packed ones (layout.h).
  MORAINE_INLINE static void bytes(const uint8_t* p, __m256i out[2]) {
    const __m256i low = load(p);
    const __m256i to_bits_4_5 = _mm256_setr_epi64x(4, 2, 0, 0), down = _mm256_setr_epi64x(0, 0, 0, 2);
#pragma GCC unroll 2
    for (int t = 0; t < 2; ++t) {
      int64_t bits;
      memcpy(&bits, p + 32 + 8 * t, 8);
      const __m256i high = _mm256_srlv_epi64(_mm256_sllv_epi64(_mm256_set1_epi64x(bits), to_bits_4_5), down);
      out[t] = _mm256_or_si256(t == 0 ? low_nibbles(low) : high_nibbles(low),
                               _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
    }
  }

  template <int j>
  MORAINE_INLINE static __m256i qword(const __m256i v[2]) {
    return _mm256_permute4x64_epi64(v[j / 4], j % 4 * 0x55);
  }

  MORAINE_INLINE void read(const uint8_t* w) {
    d = load_halves(w);
    dmin = load_halves(w + 16);
    const __m256i twice = _mm256_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1,  //
                                           4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1);
    __m256i b[2];
    bytes(w + 32, b);
    scale[0] = _mm256_shuffle_epi8(qword<0>(b), twice);
    scale[1] = _mm256_shuffle_epi8(qword<1>(b), twice);
    scale[2] = _mm256_shuffle_epi8(qword<2>(b), twice);
    scale[3] = _mm256_shuffle_epi8(qword<3>(b), twice);
    scale[4] = _mm256_shuffle_epi8(qword<4>(b), twice);
    scale[5] = _mm256_shuffle_epi8(qword<5>(b), twice);
    scale[6] = _mm256_shuffle_epi8(qword<6>(b), twice);
    scale[7] = _mm256_shuffle_epi8(qword<7>(b), twice);
    const __m256i pairs = _mm256_setr_epi8(0, -1, 8, -1, 1, -1, 9, -1, 2, -1, 10, -1, 3, -1, 11, -1,  //
                                           4, -1, 12, -1, 5, -1, 13, -1, 6, -1, 14, -1, 7, -1, 15, -1);
    bytes(w + 80, b);
#pragma GCC unroll 2
    for (int t = 0; t < 2; ++t) {
      min_pairs[2 * t] = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(b[t], 0x44), pairs);
      min_pairs[2 * t + 1] = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(b[t], 0xee), pairs);
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
  static constexpr int kBytes = 8 * 144;
  using Scales = ScalesAndMins;

  template <int j>
  MORAINE_INLINE static void part(const uint8_t* w, __m256i u[8]) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i v = load(w + 128 + j / 2 * 256 + 32 * s);
      u[s] = j % 2 ? high_nibbles(v) : low_nibbles(v);
    }
  }
  MORAINE_INLINE static __m256i dot(const __m256i* u, const int8_t* q, const Scales& s, int j, __m256i sum) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(dot_u8<8>(u, q), s.scale[j]));
  }
};

struct Q5_K {
  static constexpr int kBytes = 8 * 176;
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
  MORAINE_INLINE static __m256i dot(const __m256i* u, const int8_t* q, const Scales& s, int j, __m256i sum) {
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(dot_u8<4>(u, q), s.scale[j]));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(dot_u8<4>(u + 4, q + 16), s.scale[j]));
  }
};

// Q6_K: w = d * scale * (u - 32), a scale for each 16 values: the 32 times the activations' sums are
// subtracted apart.
struct Q6_K {
  static constexpr int kBytes = 8 * 210;

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
      __m256i offset = _mm256_setzero_si256();
#pragma GCC unroll 8
      for (int j = 0; j < 16; j += 2) {
        const __m256i pair = _mm256_blend_epi16(scale[j], scale[j + 1], 0xaa);
        offset = _mm256_add_epi32(offset, _mm256_madd_epi16(pair, broadcast4(sums + j)));
      }
      dot = _mm256_sub_epi32(dot, _mm256_slli_epi32(offset, 5));
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
  MORAINE_INLINE static __m256i dot(const __m256i* u, const int8_t* q, const Scales& s, int j, __m256i sum) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)  // two steps of 63 * 127 * 2 fill 16 bits
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(dot_u8<2>(u + 2 * i, q + 8 * i), s.scale[2 * j + i / 2]));
    return sum;
  }
};

// The activations of a tile's rows, at this block.
struct Rows {
  const int8_t* q;
  const float* d;
  const int16_t* sums;
  int64_t q_stride, d_stride, s_stride;
};

template <class F, int kRows>
MORAINE_INLINE void add_part(const __m256i* u, int j, const typename F::Scales& scales, const Rows& x,
                             __m256i* dot) {
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) dot[m] = F::dot(u, x.q + m * x.q_stride + 32 * j, scales, j, dot[m]);
}

template <class F, int j, int kRows>
MORAINE_INLINE void unpack_and_add_part(const uint8_t* w, const typename F::Scales& scales, const Rows& x,
                                        __m256i* dot) {
  __m256i u[8];
  F::template part<j>(w, u);
  add_part<F, kRows>(u, j, scales, x, dot);
}

// The parts of a block, straight from the weights.
template <class F>
struct Packed {
  const uint8_t* w;

  template <int kRows>
  MORAINE_INLINE void dots(const typename F::Scales& scales, const Rows& x, __m256i* dot) const {
    unpack_and_add_part<F, 0, kRows>(w, scales, x, dot);
    unpack_and_add_part<F, 1, kRows>(w, scales, x, dot);
    unpack_and_add_part<F, 2, kRows>(w, scales, x, dot);
    unpack_and_add_part<F, 3, kRows>(w, scales, x, dot);
    unpack_and_add_part<F, 4, kRows>(w, scales, x, dot);
    unpack_and_add_part<F, 5, kRows>(w, scales, x, dot);
    unpack_and_add_part<F, 6, kRows>(w, scales, x, dot);
    unpack_and_add_part<F, 7, kRows>(w, scales, x, dot);
  }
};

// The same, unpacked to memory.
template <class F>
struct Unpacked {
  __m256i u[kParts][8];

  MORAINE_INLINE void read(const uint8_t* w) {
    F::template part<0>(w, u[0]);
    F::template part<1>(w, u[1]);
    F::template part<2>(w, u[2]);
    F::template part<3>(w, u[3]);
    F::template part<4>(w, u[4]);
    F::template part<5>(w, u[5]);
    F::template part<6>(w, u[6]);
    F::template part<7>(w, u[7]);
  }

  template <int kRows>
  MORAINE_INLINE void dots(const typename F::Scales& scales, const Rows& x, __m256i* dot) const {
    for (int j = 0; j < kParts; ++j) add_part<F, kRows>(u[j], j, scales, x, dot);
  }
};

// kRows x 8 outputs at y: a block added to what y holds (nothing yet, if `first`).
template <class F, int kRows, class Quants>
MORAINE_INLINE void tile(const Quants& quants, const typename F::Scales& scales, const Rows& x, float* y,
                         int64_t y_stride, bool first) {
  __m256i dot[kRows];
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) dot[m] = _mm256_setzero_si256();
  quants.template dots<kRows>(scales, x, dot);
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) {
    const __m256 acc = first ? _mm256_setzero_ps() : _mm256_loadu_ps(y + m * y_stride);
    const __m256 dx = _mm256_broadcast_ss(x.d + m * x.d_stride);
    _mm256_storeu_ps(y + m * y_stride, scales.add(dot[m], x.sums + m * x.s_stride, dx, acc));
  }
}

// All n_rows over one block.
template <class F, class Quants>
MORAINE_INLINE void rows(const MatmulArgs& a, const Quants& quants, const typename F::Scales& scales, int b,
                         float* y) {
  for (int m = 0; m < a.n_rows; m += kTile) {
    const Rows x = {a.x.q + m * a.x.q_stride + 256 * b,
                    a.x.d + m * a.x.d_stride + b,
                    a.x.sums + m * a.x.s_stride + 16 * b,
                    a.x.q_stride,
                    a.x.d_stride,
                    a.x.s_stride};
    float* out = y + m * a.y_stride;
    switch (a.n_rows - m) {
      case 1:
        tile<F, 1>(quants, scales, x, out, a.y_stride, b == 0);
        break;
      case 2:
        tile<F, 2>(quants, scales, x, out, a.y_stride, b == 0);
        break;
      case 3:
        tile<F, 3>(quants, scales, x, out, a.y_stride, b == 0);
        break;
      default:
        tile<F, 4>(quants, scales, x, out, a.y_stride, b == 0);
        break;
    }
  }
}

template <class F>
void direct(const MatmulArgs& a) {
  typename F::Scales scales;
  for (int g = 0; g < a.n_groups; ++g)
    for (int b = 0; b < a.k / 256; ++b) {
      const uint8_t* w = a.w + g * a.group_bytes + static_cast<int64_t>(b) * F::kBytes;
      prefetch<F::kBytes>(w);
      scales.read(w);
      rows<F>(a, Packed<F>{w}, scales, b, a.y + 8 * g);
    }
}

template <class F>
void panel(const MatmulArgs& a) {
  typename F::Scales scales;
  Unpacked<F> quants;
  for (int g = 0; g < a.n_groups; ++g)
    for (int b = 0; b < a.k / 256; ++b) {
      const uint8_t* w = a.w + g * a.group_bytes + static_cast<int64_t>(b) * F::kBytes;
      prefetch<F::kBytes>(w);
      scales.read(w);
      quants.read(w);
      rows<F>(a, quants, scales, b, a.y + 8 * g);
    }
}

template <class F>
MORAINE_INLINE void matmul(const MatmulArgs& a) {
  if (a.n_rows < kPanelRows)
    direct<F>(a);
  else
    panel<F>(a);
}

}  // namespace

void matmul_q4_k(const MatmulArgs& a) noexcept { matmul<Q4_K>(a); }
void matmul_q5_k(const MatmulArgs& a) noexcept { matmul<Q5_K>(a); }
void matmul_q6_k(const MatmulArgs& a) noexcept { matmul<Q6_K>(a); }

}  // namespace moraine::cpu::avx2
