// Matrix products of the formats with 256-value blocks: Q4_K, Q5_K, Q6_K.
//
// The eight rows of a group are the eight lanes. A block is eight parts of 32 values; a part's dot
// products stay 16 bits wide until one multiplication by the part's integer scales widens them. Up to four
// activation rows: each part is unpacked in registers and used at once (`direct`). More: a whole block is
// unpacked into 2 KB of stack and used by all of them (`panel`), y carrying the sums from block to block.
// Both do the float operations of kernels/scalar/matmul.cpp, in its order.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/matmul.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr int kParts = 8;

// Shifts bits up (left > 0) or down and keeps those of `mask` in each byte.
template <int kLeft>
MORAINE_INLINE __m256i shift_bits(__m256i v, int mask) {
  if constexpr (kLeft > 0) v = _mm256_slli_epi16(v, kLeft);
  if constexpr (kLeft < 0) v = _mm256_srli_epi16(v, -kLeft);
  return _mm256_and_si256(v, _mm256_set1_epi8(static_cast<char>(mask)));
}

// sum[m] += scale * (u . q[m]), for kSteps steps of 4 values.
template <int kSteps, int kRows>
MORAINE_INLINE void add_scaled(const __m256i* u, const int8_t* q, int64_t q_stride, __m256i scale,
                               __m256i* sum) {
  __m256i dot[kRows];
  dot_u8<kSteps, kRows>(u, q, q_stride, dot);
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) sum[m] = _mm256_add_epi32(sum[m], _mm256_madd_epi16(dot[m], scale));
}

// A format provides: Scales, what a block needs besides its quants; part<j>(): the eight unpacked
// vectors of part j; add(): one part times kRows activation blocks, scaled,
// added to int32 sums; Scales::add(): a block's sum turned to float and added to acc.

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
  template <int kRows>
  MORAINE_INLINE static void add(const __m256i* u, const int8_t* q, int64_t q_stride, const Scales& s, int j,
                                 __m256i* sum) {
    add_scaled<8, kRows>(u, q, q_stride, s.scale[j], sum);
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
  template <int kRows>
  MORAINE_INLINE static void add(const __m256i* u, const int8_t* q, int64_t q_stride, const Scales& s, int j,
                                 __m256i* sum) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)  // two steps of 63 * 127 * 2 fill 16 bits
      add_scaled<2, kRows>(u + 2 * i, q + 8 * i, q_stride, s.scale[2 * j + i / 2], sum);
  }
};

// f.operator()<j>() for the parts j of a block: what unpacks a part needs j as a constant.
template <class Fn>
MORAINE_INLINE void for_each_part(Fn f) {
  f.template operator()<0>();
  f.template operator()<1>();
  f.template operator()<2>();
  f.template operator()<3>();
  f.template operator()<4>();
  f.template operator()<5>();
  f.template operator()<6>();
  f.template operator()<7>();
}

// acc[m] += the block's dot[m], scaled.
template <class F, int kRows>
MORAINE_INLINE void finish(const typename F::Scales& scales, const __m256i* dot, const Activations& x,
                           __m256* acc) {
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m)
    acc[m] = scales.add(dot[m], x.sums + m * x.s_stride, _mm256_broadcast_ss(x.d + m * x.d_stride), acc[m]);
}

// kRows activation rows, all there are.
template <class F, int kRows>
void direct(const MatmulArgs& a) {
  for (int g = 0; g < a.n_groups; ++g) {
    const uint8_t* w = a.w + g * a.group_bytes;
    __m256 acc[kRows];
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) acc[m] = _mm256_setzero_ps();
    for (int b = 0; b < a.k / 256; ++b, w += F::kBytes) {
      typename F::Scales scales;
      scales.read(w);
      const Activations x = activations<256>(a.x, 0, b);
      __m256i dot[kRows];
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m) dot[m] = _mm256_setzero_si256();
      for_each_part([&]<int j>() __attribute__((always_inline)) {
        __m256i u[8];
        prefetch<F::kBytes / kParts>(w + j * (F::kBytes / kParts));
        F::template part<j>(w, u);
        F::template add<kRows>(u, x.q + 32 * j, x.q_stride, scales, j, dot);
      });
      finish<F, kRows>(scales, dot, x, acc);
    }
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) _mm256_storeu_ps(a.y + m * a.y_stride + 8 * g, acc[m]);
  }
}

// One unpacked block times rows m..m+kRows-1: added to what y holds or, with the first block, to nothing.
template <class F, int kRows>
MORAINE_INLINE void panel_tile(const MatmulArgs& a, const __m256i (&u)[kParts][8],
                               const typename F::Scales& scales, int b, int g, int m) {
  float* y = a.y + m * a.y_stride + 8 * g;
  const Activations x = activations<256>(a.x, m, b);
  __m256i dot[kRows];
  __m256 acc[kRows];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    dot[i] = _mm256_setzero_si256();
    acc[i] = b == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(y + i * a.y_stride);
  }
  for (int j = 0; j < kParts; ++j) F::template add<kRows>(u[j], x.q + 32 * j, x.q_stride, scales, j, dot);
  finish<F, kRows>(scales, dot, x, acc);
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) _mm256_storeu_ps(y + i * a.y_stride, acc[i]);
}

template <class F>
void panel(const MatmulArgs& a) {
  typename F::Scales scales;
  __m256i u[kParts][8];
  for (int g = 0; g < a.n_groups; ++g)
    for (int b = 0; b < a.k / 256; ++b) {
      const uint8_t* w = a.w + g * a.group_bytes + static_cast<int64_t>(b) * F::kBytes;
      scales.read(w);
      for_each_part([&]<int j>() __attribute__((always_inline)) {
        prefetch<F::kBytes / kParts>(w + j * (F::kBytes / kParts));
        F::template part<j>(w, u[j]);
      });
      for (int m = 0; m < a.n_rows; m += kTile) switch (a.n_rows - m) {
          case 1:
            panel_tile<F, 1>(a, u, scales, b, g, m);
            break;
          case 2:
            panel_tile<F, 2>(a, u, scales, b, g, m);
            break;
          case 3:
            panel_tile<F, 3>(a, u, scales, b, g, m);
            break;
          default:
            panel_tile<F, 4>(a, u, scales, b, g, m);
            break;
        }
    }
}

template <class F>
MORAINE_INLINE void matmul(const MatmulArgs& a) {
  switch (a.n_rows) {
    case 1:
      direct<F, 1>(a);
      break;
    case 2:
      direct<F, 2>(a);
      break;
    case 3:
      direct<F, 3>(a);
      break;
    case 4:
      direct<F, 4>(a);
      break;
    default:
      panel<F>(a);
      break;
  }
}

}  // namespace

void matmul_q4_k(const MatmulArgs& a) noexcept { matmul<Q4_K>(a); }
void matmul_q5_k(const MatmulArgs& a) noexcept { matmul<Q5_K>(a); }
void matmul_q6_k(const MatmulArgs& a) noexcept { matmul<Q6_K>(a); }

}  // namespace moraine::cpu::avx2
