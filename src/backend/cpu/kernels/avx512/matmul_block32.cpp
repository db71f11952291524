// Matrix products of formats with 32-value blocks by VNNI instructions. The formats: block32.h.
//
// Work goes in chunks of eight blocks. Up to eight activation rows: each block is unpacked in registers and
// used at once (`direct`). More: a chunk is unpacked into 4 KB of stack and used by all of them (`panel`), y
// carrying the sums from chunk to chunk. Both do the float operations of kernels/scalar/matmul.cpp, in its
// order.
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx512/block32.h"
#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::avx512 {
namespace {

constexpr int kChunk = 8;                 // blocks
constexpr int kFew = 8;                   // activation rows, at most, that need no panel
constexpr int kTile = 8;                  // activation rows that share an unpacked weight
constexpr int kNear = 2048, kFar = 4096;  // bytes ahead

// Of eight activation blocks, a term of each that is the same for all weight rows: what the offset leaves to
// subtract, an int32 that the dot product begins with; or what multiplies the minimum, a float.
template <class F>
MORAINE_INLINE __m256i correction(__m256i sums, __m256 dx) {
  if constexpr (F::kMin) return _mm256_castps_si256(_mm256_mul_ps(dx, _mm256_cvtepi32_ps(sums)));
  return _mm256_mullo_epi32(sums, _mm256_set1_epi32(-F::kOffset));
}

// acc[m] += n <= kChunk blocks times kRows activation rows; block(i) is the i-th, unpacked.
template <class F, int kRows, class Blocks>
MORAINE_INLINE void add_chunk(Blocks block, int n, const Activations& x, __m512* acc) {
  alignas(32) int32_t fix[kRows][kChunk];
  const __mmask8 some = static_cast<__mmask8>((1 << n) - 1);
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    const __m256i sums = _mm256_maskz_loadu_epi32(some, x.sums + m * x.s_stride);
    const __m256 dx = _mm256_maskz_loadu_ps(some, x.d + m * x.d_stride);
    _mm256_store_si256(reinterpret_cast<__m256i*>(fix[m]),
                       correction<F>(_mm256_madd_epi16(sums, _mm256_set1_epi16(1)), dx));
  }
  for (int b = 0; b < n; ++b) {
    const Block32& w = block(b);
    __m512i dot[kRows];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) dot[m] = F::kMin ? _mm512_setzero_si512() : _mm512_set1_epi32(fix[m][b]);
    add_dot<8, kRows>(w.u, x.q + 32 * b, x.q_stride, dot);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const __m512 dx = _mm512_set1_ps(x.d[m * x.d_stride + b]);
      acc[m] = _mm512_fmadd_ps(_mm512_mul_ps(w.d, dx), _mm512_cvtepi32_ps(dot[m]), acc[m]);
      if constexpr (F::kMin)
        acc[m] = _mm512_fmadd_ps(w.min, _mm512_castsi512_ps(_mm512_set1_epi32(fix[m][b])), acc[m]);
    }
  }
}

// kRows activation rows, all there are.
template <class F, int kRows>
void direct(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  for (int g = 0; g < a.n_groups; g += 2) {
    Pair w = pair_of(a, g);
    __m512 acc[kRows];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) acc[m] = _mm512_setzero_ps();
    for (int b = 0; b < n_blocks; b += kChunk, w = w + kChunk * F::kBytes) {
      Block32 unpacked;
      const auto block = [&w, &unpacked](int i) __attribute__((always_inline)) -> const Block32& {
        prefetch<F::kBytes, kNear, kFar>(w + i * F::kBytes);
        F::unpack(w + i * F::kBytes, unpacked);
        return unpacked;
      };
      const int n = n_blocks - b < kChunk ? n_blocks - b : kChunk;
      add_chunk<F, kRows>(block, n, activations<32>(a.x, 0, b), acc);
    }
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) _mm512_mask_storeu_ps(a.y + m * a.y_stride + 8 * g, w.lanes, acc[m]);
  }
}

// One chunk times rows m..m+kRows-1: added to what y holds or, with the first chunk, to nothing.
template <class F, int kRows>
MORAINE_INLINE void panel_tile(const MatmulArgs& a, const Block32* blocks, __mmask16 lanes, int b, int n,
                               int g, int m) {
  float* y = a.y + m * a.y_stride + 8 * g;
  __m512 acc[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
    acc[i] = b == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(lanes, y + i * a.y_stride);
  const auto block = [blocks](int i) __attribute__((always_inline)) -> const Block32& { return blocks[i]; };
  add_chunk<F, kRows>(block, n, activations<32>(a.x, m, b), acc);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) _mm512_mask_storeu_ps(y + i * a.y_stride, lanes, acc[i]);
}

template <class F>
void panel(const MatmulArgs& a) {
  const int n_blocks = a.k / 32;
  Block32 blocks[kChunk];
  for (int g = 0; g < a.n_groups; g += 2)
    for (int b = 0; b < n_blocks; b += kChunk) {
      Pair w = pair_of(a, g) + static_cast<int64_t>(b) * F::kBytes;
      const int n = n_blocks - b < kChunk ? n_blocks - b : kChunk;
      for (int i = 0; i < n; ++i, w = w + F::kBytes) {
        prefetch<F::kBytes, kNear, kFar>(w);
        F::unpack(w, blocks[i]);
      }
      for_row_tiles<kTile>(a.n_rows, [&]<int kRows>(int m) __attribute__((always_inline)) {
        panel_tile<F, kRows>(a, blocks, w.lanes, b, n, g, m);
      });
    }
}

template <class F, MatmulFn kOneRow>
MORAINE_INLINE void matmul(const MatmulArgs& a) {
  one_few_or_many<kFew, kOneRow>(
      a, [&]<int kRows>() __attribute__((always_inline)) { direct<F, kRows>(a); }, [&] { panel<F>(a); });
}

}  // namespace

void matmul_q4_0(const MatmulArgs& a) noexcept { matmul<Q4_0, avx2::matmul_q4_0>(a); }
void matmul_q4_1(const MatmulArgs& a) noexcept { matmul<Q4_1, avx2::matmul_q4_1>(a); }
void matmul_q5_0(const MatmulArgs& a) noexcept { matmul<Q5_0, avx2::matmul_q5_0>(a); }
void matmul_q5_1(const MatmulArgs& a) noexcept { matmul<Q5_1, avx2::matmul_q5_1>(a); }
void matmul_q8_0(const MatmulArgs& a) noexcept { matmul<Q8_0, avx2::matmul_q8_0>(a); }
void matmul_iq4_nl(const MatmulArgs& a) noexcept { matmul<IQ4_NL, avx2::matmul_iq4_nl>(a); }
void matmul_mxfp4(const MatmulArgs& a) noexcept { matmul<MXFP4, avx2::matmul_mxfp4>(a); }

}  // namespace moraine::cpu::avx512
