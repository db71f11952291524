// Matrix products of the formats with 32-value blocks: Q4_0, Q4_1, Q5_0, Q8_0.
//
// The eight rows of a group are the eight lanes. Work goes in chunks of eight blocks (256 values). Up to
// four activation rows: each block is unpacked in registers and used at once (`direct`). More: a chunk is
// unpacked once into 2 KB of stack and used by all of them (`panel`), y carrying the sums from chunk to
// chunk. Both do the float operations of kernels/scalar/matmul.cpp, in its order.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/matmul.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr int kChunk = 8;  // blocks

// What a format provides: Block, a block of the group unpacked; unpack(); correction(): from the sums
// and scales of eight activation blocks, a term of each that is the same for all rows; dot(): one block times
// kRows activation blocks, exact; and add(): one dot product scaled and added to acc.

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
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    dot_u8<8, kRows>(b.u, q, q_stride, dot);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) dot[m] = pair_sums(dot[m]);
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    dot = _mm256_add_epi32(dot, _mm256_castps_si256(fix));
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
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    dot_u8<8, kRows>(b.u, q, q_stride, dot);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) dot[m] = pair_sums(dot[m]);
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
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
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    __m256i second[kRows];
    dot_u8<4, kRows>(b.u, q, q_stride, dot);
    dot_u8<4, kRows>(b.u + 4, q + 16, q_stride, second);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) dot[m] = _mm256_add_epi32(pair_sums(dot[m]), pair_sums(second[m]));
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    return Q4_0::add(b, dot, dx, fix, acc);
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
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s) {
      const __m256i magnitude = _mm256_abs_epi8(b.u[s]);
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m) {
        const __m256i x = _mm256_sign_epi8(broadcast4(q + m * q_stride + 4 * s), b.u[s]);
        const __m256i products = pair_sums(_mm256_maddubs_epi16(magnitude, x));
        dot[m] = s == 0 ? products : _mm256_add_epi32(dot[m], products);
      }
    }
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256, __m256 acc) {
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
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    __m256i high[kRows];  // both planes at each step: a broadcast serves two products
#pragma GCC unroll 8
    for (int s = 0; s < 8; ++s)
#pragma GCC unroll 4
      for (int m = 0; m < kRows; ++m) {
        const __m256i x = broadcast4(q + m * q_stride + 4 * s);
        const __m256i l = _mm256_maddubs_epi16(b.low[s], x), h = _mm256_maddubs_epi16(b.high[s], x);
        dot[m] = s == 0 ? l : _mm256_add_epi16(dot[m], l);
        high[m] = s == 0 ? h : _mm256_add_epi16(high[m], h);
        pin(dot[m]);
        pin(high[m]);
      }
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m)
      dot[m] = _mm256_add_epi32(pair_sums(dot[m]), _mm256_madd_epi16(high[m], _mm256_set1_epi16(16)));
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    dot = _mm256_add_epi32(dot, _mm256_castps_si256(fix));
    return _mm256_fmadd_ps(_mm256_mul_ps(b.d, dx), _mm256_cvtepi32_ps(dot), acc);
  }
};

// acc[m] += n <= kChunk blocks times kRows activation rows; block(i) is the i-th, unpacked.
template <class F, int kRows, class Blocks>
MORAINE_INLINE void add_chunk(Blocks block, int n, const Activations& x, __m256* acc) {
  alignas(32) float fix[kRows][kChunk];
  const __m256i mask = first_lanes(n);
#pragma GCC unroll 4
  for (int m = 0; m < kRows; ++m) {
    const __m256i sums = _mm256_maskload_epi32(reinterpret_cast<const int*>(x.sums + m * x.s_stride), mask);
    const __m256 dx = _mm256_maskload_ps(x.d + m * x.d_stride, mask);
    _mm256_store_ps(fix[m], F::correction(pair_sums(sums), dx));
  }
  for (int b = 0; b < n; ++b) {
    const auto& w = block(b);
    __m256i dot[kRows];
    F::template dot<kRows>(w, x.q + 32 * b, x.q_stride, dot);
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m)
      acc[m] = F::add(w, dot[m], _mm256_broadcast_ss(x.d + m * x.d_stride + b),
                      _mm256_broadcast_ss(&fix[m][b]), acc[m]);
  }
}

// kRows activation rows, all there are.
template <class F, int kRows>
void direct(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  for (int g = 0; g < a.n_groups; ++g) {
    const uint8_t* w = a.w + g * a.group_bytes;
    __m256 acc[kRows];
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) acc[m] = _mm256_setzero_ps();
    for (int b = 0; b < n_blocks; b += kChunk, w += kChunk * F::kBytes) {
      const auto block = [w](int i) __attribute__((always_inline)) {
        prefetch<F::kBytes>(w + i * F::kBytes);
        return F::unpack(w + i * F::kBytes);
      };
      const int n = n_blocks - b < kChunk ? n_blocks - b : kChunk;
      add_chunk<F, kRows>(block, n, activations<32>(a.x, 0, b), acc);
    }
#pragma GCC unroll 4
    for (int m = 0; m < kRows; ++m) _mm256_storeu_ps(a.y + m * a.y_stride + 8 * g, acc[m]);
  }
}

// One chunk times rows m..m+kRows-1: added to what y holds or, with the first chunk, to nothing.
template <class F, int kRows>
MORAINE_INLINE void panel_tile(const MatmulArgs& a, const typename F::Block* blocks, int b, int n, int g,
                               int m) {
  float* y = a.y + m * a.y_stride + 8 * g;
  __m256 acc[kRows];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) acc[i] = b == 0 ? _mm256_setzero_ps() : _mm256_loadu_ps(y + i * a.y_stride);
  const auto block = [blocks](int i) __attribute__((always_inline)) -> const auto& { return blocks[i]; };
  add_chunk<F, kRows>(block, n, activations<32>(a.x, m, b), acc);
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) _mm256_storeu_ps(y + i * a.y_stride, acc[i]);
}

template <class F>
void panel(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  typename F::Block blocks[kChunk];
  for (int g = 0; g < a.n_groups; ++g)
    for (int b = 0; b < n_blocks; b += kChunk) {
      const uint8_t* w = a.w + g * a.group_bytes + static_cast<int64_t>(b) * F::kBytes;
      const int n = n_blocks - b < kChunk ? n_blocks - b : kChunk;
      for (int i = 0; i < n; ++i, w += F::kBytes) {
        prefetch<F::kBytes>(w);
        blocks[i] = F::unpack(w);
      }
      for (int m = 0; m < a.n_rows; m += kTile) switch (a.n_rows - m) {
          case 1:
            panel_tile<F, 1>(a, blocks, b, n, g, m);
            break;
          case 2:
            panel_tile<F, 2>(a, blocks, b, n, g, m);
            break;
          case 3:
            panel_tile<F, 3>(a, blocks, b, n, g, m);
            break;
          default:
            panel_tile<F, 4>(a, blocks, b, n, g, m);
            break;
        }
    }
}

template <class Few, class Many>
MORAINE_INLINE void matmul(const MatmulArgs& a) {
  switch (a.n_rows) {
    case 1:
      direct<Few, 1>(a);
      break;
    case 2:
      direct<Few, 2>(a);
      break;
    case 3:
      direct<Few, 3>(a);
      break;
    case 4:
      direct<Few, 4>(a);
      break;
    default:
      panel<Many>(a);
      break;
  }
}

}  // namespace

void matmul_q4_0(const MatmulArgs& a) noexcept { matmul<Q4_0, Q4_0>(a); }
void matmul_q4_1(const MatmulArgs& a) noexcept { matmul<Q4_1, Q4_1>(a); }
void matmul_q5_0(const MatmulArgs& a) noexcept { matmul<Q5_0, Q5_0>(a); }
void matmul_q8_0(const MatmulArgs& a) noexcept { matmul<Q8_0Signed, Q8_0Nibbles>(a); }

}  // namespace moraine::cpu::avx2
