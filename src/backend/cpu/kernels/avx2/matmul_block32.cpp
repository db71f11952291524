// Matrix products of the formats with 32-value blocks: Q4_0, Q4_1, Q5_0, Q8_0.
//
// The eight rows of a group are the eight lanes. Work goes in chunks of eight blocks (256 values): for a
// few activation rows each block is unpacked in registers and used at once (`direct`); for many, a chunk
// is unpacked once into 2 KB of stack (`panel`) and used by all of them. y itself carries the sums from
// chunk to chunk. Both do the float operations of kernels/scalar/matmul.cpp, in its order.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/simd.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr int kChunk = 8;      // blocks
constexpr int kTile = 4;       // activation rows that share an unpacked block
constexpr int kPanelRows = 8;  // from this many on, unpacking to memory pays

const __m256i kLow4 = {0x0f0f0f0f0f0f0f0f, 0x0f0f0f0f0f0f0f0f, 0x0f0f0f0f0f0f0f0f, 0x0f0f0f0f0f0f0f0f};

MORAINE_INLINE __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, kLow4); }
MORAINE_INLINE __m256i high_nibbles(__m256i v) { return low_nibbles(_mm256_srli_epi16(v, 4)); }

// What a format provides: Block, a block of the group unpacked; unpack(); correction(): from the sums
// and scales of eight activation blocks, a term of each that is the same for all rows; and add(): one
// activation block multiplied into acc.

// Weights are unsigned nibbles minus 8: the 8 times the activations' sum is subtracted apart.
struct Q4_0 {
  static constexpr int kBytes = 8 * 18;
  struct Block {
    __m256i u[8];
    __m256 d;
  };
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const __m256i v = load(w + 16 + 32 * s);
      b.u[s] = low_nibbles(v);
      b.u[4 + s] = high_nibbles(v);
    }
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256) {
    return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sums, 3)));
  }
  MORAINE_INLINE static __m256 add(const Block& b, const int8_t* q, __m256 dx, __m256 fix, __m256 acc) {
    const __m256i dot = _mm256_add_epi32(pair_sums(dot_u8<8>(b.u, q)), _mm256_castps_si256(fix));
    return _mm256_fmadd_ps(_mm256_mul_ps(b.d, dx), _mm256_cvtepi32_ps(dot), acc);
  }
};

struct Q4_1 {
  static constexpr int kBytes = 8 * 20;
  struct Block {
    __m256i u[8];
    __m256 d, min;
  };
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
    b.min = load_halves(w + 16);
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const __m256i v = load(w + 32 + 32 * s);
      b.u[s] = low_nibbles(v);
      b.u[4 + s] = high_nibbles(v);
    }
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256 dx) {
    return _mm256_mul_ps(dx, _mm256_cvtepi32_ps(sums));
  }
  MORAINE_INLINE static __m256 add(const Block& b, const int8_t* q, __m256 dx, __m256 fix, __m256 acc) {
    const __m256i dot = pair_sums(dot_u8<8>(b.u, q));
    acc = _mm256_fmadd_ps(_mm256_mul_ps(b.d, dx), _mm256_cvtepi32_ps(dot), acc);
    return _mm256_fmadd_ps(b.min, fix, acc);
  }
};

struct Q5_0 {
  static constexpr int kBytes = 8 * 22;
  using Block = Q4_0::Block;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
    const __m256i qh = load(w + 16);
    const __m256i bit4 = _mm256_set1_epi8(16);
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const __m256i v = load(w + 48 + 32 * s);
      const __m256i low = _mm256_and_si256(_mm256_slli_epi16(qh, 4 - s), bit4);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(qh, s), bit4);
      b.u[s] = _mm256_or_si256(low_nibbles(v), low);
      b.u[4 + s] = _mm256_or_si256(high_nibbles(v), high);
    }
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256) {
    return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sums, 4)));
  }
  MORAINE_INLINE static __m256 add(const Block& b, const int8_t* q, __m256 dx, __m256 fix, __m256 acc) {
    const __m256i first = pair_sums(dot_u8<4>(b.u, q)), second = pair_sums(dot_u8<4>(b.u + 4, q + 16));
    const __m256i dot = _mm256_add_epi32(_mm256_add_epi32(first, second), _mm256_castps_si256(fix));
    return _mm256_fmadd_ps(_mm256_mul_ps(b.d, dx), _mm256_cvtepi32_ps(dot), acc);
  }
};

// Few rows: |w| times the activation with w's sign. Exact, as activations are never -128; the products
// of two pairs would pass 16 bits, so each step is widened.
struct Q8_0Signed {
  static constexpr int kBytes = 8 * 34;
  using Block = Q4_0::Block;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) b.u[s] = load(w + 16 + 32 * s);
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i, __m256 dx) { return dx; }
  MORAINE_INLINE static __m256 add(const Block& b, const int8_t* q, __m256 dx, __m256, __m256 acc) {
    __m256i dot = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i x = _mm256_sign_epi8(broadcast4(q + 4 * s), b.u[s]);
      dot = _mm256_add_epi32(dot, pair_sums(_mm256_maddubs_epi16(_mm256_abs_epi8(b.u[s]), x)));
    }
    return _mm256_fmadd_ps(_mm256_mul_ps(b.d, dx), _mm256_cvtepi32_ps(dot), acc);
  }
};

// Many rows: w + 128 as two nibbles, low + 16 * high, whose products can stay 16 bits wide for a whole
// block: no more instructions than the signs need, and fewer of them on the multiplier's ports.
struct Q8_0Nibbles {
  static constexpr int kBytes = 8 * 34;
  struct Block {
    __m256i low[8], high[8];
    __m256 d;
  };
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
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256) {
    return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sums, 7)));
  }
  MORAINE_INLINE static __m256 add(const Block& b, const int8_t* q, __m256 dx, __m256 fix, __m256 acc) {
    const __m256i low = pair_sums(dot_u8<8>(b.low, q));
    const __m256i high = _mm256_madd_epi16(dot_u8<8>(b.high, q), _mm256_set1_epi16(16));
    const __m256i dot = _mm256_add_epi32(_mm256_add_epi32(low, high), _mm256_castps_si256(fix));
    return _mm256_fmadd_ps(_mm256_mul_ps(b.d, dx), _mm256_cvtepi32_ps(dot), acc);
  }
};

// The activations of a tile's rows, at the chunk's first block.
struct Rows {
  const int8_t* q;
  const float* d;
  const int16_t* sums;
  int64_t q_stride, d_stride, s_stride;
};

// kRows x 8 outputs at y: n blocks added to what y holds (nothing yet, if `first`).
template <class F, int kRows, class Blocks>
MORAINE_INLINE void tile(Blocks block, int n, const Rows& x, float* y, int64_t y_stride, bool first) {
  alignas(32) float fix[kRows][kChunk];
  __m256 acc[kRows];
  const __m256i mask = first_lanes(n);
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) {
    const __m256i sums = _mm256_maskload_epi32(reinterpret_cast<const int*>(x.sums + m * x.s_stride), mask);
    const __m256 dx = _mm256_maskload_ps(x.d + m * x.d_stride, mask);
    _mm256_store_ps(fix[m], F::correction(pair_sums(sums), dx));
    acc[m] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(y + m * y_stride);
  }
  for (int b = 0; b < n; ++b) {
    const auto& w = block(b);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m)
      acc[m] = F::add(w, x.q + m * x.q_stride + 32 * b, _mm256_broadcast_ss(x.d + m * x.d_stride + b),
                      _mm256_broadcast_ss(&fix[m][b]), acc[m]);
  }
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) _mm256_storeu_ps(y + m * y_stride, acc[m]);
}

// All n_rows over one chunk.
template <class F, class Blocks>
MORAINE_INLINE void rows(const MatmulArgs& a, Blocks block, int b0, int n, float* y) {
  for (int m = 0; m < a.n_rows; m += kTile) {
    const Rows x = {a.x.q + m * a.x.q_stride + 32 * b0,
                    a.x.d + m * a.x.d_stride + b0,
                    a.x.sums + m * a.x.s_stride + 2 * b0,
                    a.x.q_stride,
                    a.x.d_stride,
                    a.x.s_stride};
    float* out = y + m * a.y_stride;
    switch (a.n_rows - m) {
      case 1:
        tile<F, 1>(block, n, x, out, a.y_stride, b0 == 0);
        break;
      case 2:
        tile<F, 2>(block, n, x, out, a.y_stride, b0 == 0);
        break;
      case 3:
        tile<F, 3>(block, n, x, out, a.y_stride, b0 == 0);
        break;
      default:
        tile<F, 4>(block, n, x, out, a.y_stride, b0 == 0);
        break;
    }
  }
}

template <class F>
void direct(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  for (int g = 0; g < a.n_groups; ++g)
    for (int b0 = 0; b0 < n_blocks; b0 += kChunk) {
      const uint8_t* w = a.w + g * a.group_bytes + static_cast<int64_t>(b0) * F::kBytes;
      const int n = n_blocks - b0 < kChunk ? n_blocks - b0 : kChunk;
      const auto block = [w](int b) __attribute__((always_inline)) {
        prefetch<F::kBytes>(w + b * F::kBytes);
        return F::unpack(w + b * F::kBytes);
      };
      rows<F>(a, block, b0, n, a.y + 8 * g);
    }
}

template <class F>
void panel(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  typename F::Block unpacked[kChunk];
  for (int g = 0; g < a.n_groups; ++g)
    for (int b0 = 0; b0 < n_blocks; b0 += kChunk) {
      const uint8_t* w = a.w + g * a.group_bytes + static_cast<int64_t>(b0) * F::kBytes;
      const int n = n_blocks - b0 < kChunk ? n_blocks - b0 : kChunk;
      for (int b = 0; b < n; ++b) {
        prefetch<F::kBytes>(w + b * F::kBytes);
        unpacked[b] = F::unpack(w + b * F::kBytes);
      }
      const auto block = [&unpacked](int b) __attribute__((always_inline)) -> const typename F::Block& {
        return unpacked[b];
      };
      rows<F>(a, block, b0, n, a.y + 8 * g);
    }
}

template <class Few, class Many>
MORAINE_INLINE void matmul(const MatmulArgs& a) {
  if (a.n_rows < kPanelRows)
    direct<Few>(a);
  else
    panel<Many>(a);
}

}  // namespace

void matmul_q4_0(const MatmulArgs& a) noexcept { matmul<Q4_0, Q4_0>(a); }
void matmul_q4_1(const MatmulArgs& a) noexcept { matmul<Q4_1, Q4_1>(a); }
void matmul_q5_0(const MatmulArgs& a) noexcept { matmul<Q5_0, Q5_0>(a); }
void matmul_q8_0(const MatmulArgs& a) noexcept { matmul<Q8_0Signed, Q8_0Nibbles>(a); }

}  // namespace moraine::cpu::avx2
