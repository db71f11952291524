// Matrix products of IQ4_NL and MXFP4, 32-value blocks of codes. The loops over blocks and rows, and what a
// format provides: matmul_block32.h.
#include "backend/cpu/kernels/avx2/codebook.h"
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/matmul_block32.h"

namespace moraine::cpu::avx2 {
namespace {

struct IQ4_NLPlanes : Planes {
  static constexpr int kBytes = 8 * 18;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
    Iq4Planes().look_up(w + 16, b.low, b.high);
    return b;
  }
};

struct IQ4_NLSigned : Signed {
  static constexpr int kBytes = 8 * 18;
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = load_halves(w);
    look_up(codebook(quant::kIq4Values, 0), w + 16, b.u);
    return b;
  }
};

// Twice the values, plus 12: 0 to 24.
struct MXFP4 {
  static constexpr int kBytes = 8 * 17;
  using Block = BytesBlock;
  // quant::half_e8m0_bits.
  MORAINE_INLINE static __m256 scales(const uint8_t* w) {
    const __m256i e = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(w)));
    const __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i is_normal = _mm256_cmpgt_epi32(e, _mm256_set1_epi32(1));
    return _mm256_castsi256_ps(_mm256_blendv_epi8(subnormal, normal, is_normal));
  }
  MORAINE_INLINE static Block unpack(const uint8_t* w) {
    Block b;
    b.d = scales(w);
    const __m256i table = codebook(quant::mxfp4::kTwiceValues, 12);
    look_up(table, w + 8, b.u);
    return b;
  }
  MORAINE_INLINE static __m256 correction(__m256i sums, __m256) { return offset_correction<12>(sums); }
  template <int kRows>
  MORAINE_INLINE static void dot(const Block& b, const int8_t* q, int64_t q_stride, __m256i* dot) {
    dot_u5<kRows>(b.u, q, q_stride, dot);
  }
  MORAINE_INLINE static __m256 add(const Block& b, __m256i dot, __m256 dx, __m256 fix, __m256 acc) {
    return add_with_offset(b.d, dot, dx, fix, acc);
  }
};

}  // namespace

void matmul_iq4_nl(const MatmulArgs& a) noexcept { matmul<IQ4_NLSigned, IQ4_NLPlanes>(a); }
void matmul_mxfp4(const MatmulArgs& a) noexcept { matmul<MXFP4, MXFP4>(a); }

}  // namespace moraine::cpu::avx2
