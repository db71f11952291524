// Attention over paged KV; page layouts and arithmetic: kernels/scalar/attention.cpp.
//
// One block of 64 keys at a time: scores of all queries (eight keys are the lanes, head_dim ascends),
// online softmax, then the weighted sum of V (eight columns are the lanes, keys ascend). Blocks that are
// Q8_0, or that many queries share, are first turned to floats in the scratch buffer; few queries read
// F16 directly. Slots that a query does not see may hold anything: their scores are masked and their V
// rows are never multiplied into its sum.
#include "backend/cpu/kernels/attention_blocks.h"
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/math.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr float kInfinity = __builtin_inff();

struct F32 {
  static constexpr int kBytes = 4;
  MORAINE_INLINE static __m256 load8(const uint8_t* p) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
};
struct F16 {
  static constexpr int kBytes = 2;
  MORAINE_INLINE static __m256 load8(const uint8_t* p) { return load_halves(p); }
};

MORAINE_INLINE uint16_t to_half(float f) {
  return static_cast<uint16_t>(_mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(f), _MM_FROUND_TO_NEAREST_INT), 0));
}
MORAINE_INLINE __m256 from_half(const uint8_t* p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return _mm256_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))));
}
MORAINE_INLINE __m256 load_int8(const uint8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
void halves_to_floats(const uint8_t* h, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += 8) _mm256_storeu_ps(out + i, load_halves(h + 2 * i));
}

// A cache format of K: block() is the 64 keys from `slot`, as [8 groups][head_dim][8 keys]; to_floats()
// gives that for the groups [g0, g1).
struct KF16 {
  static constexpr bool kDirect = true;
  static const uint8_t* block(const uint8_t* page, int hd, int slot) { return page + int64_t{2} * slot * hd; }
  static void to_floats(const uint8_t* block, int hd, int g0, int g1, float* out) {
    halves_to_floats(block + int64_t{16} * g0 * hd, int64_t{8} * (g1 - g0) * hd, out + int64_t{8} * g0 * hd);
  }
};

struct KQ8_0 {
  static constexpr bool kDirect = false;
  static const uint8_t* block(const uint8_t* page, int hd, int slot) {
    return page + slot / 8 * (hd / 32) * int64_t{272};
  }
  static void to_floats(const uint8_t* block, int hd, int g0, int g1, float* out) {
    const int n_blocks = hd / 32;
    block += int64_t{272} * g0 * n_blocks;
    out += int64_t{8} * g0 * hd;
    for (int b = 0; b < (g1 - g0) * n_blocks; ++b, block += 272, out += 256) {
      const __m256 d = load_halves(block);
      for (int i = 0; i < 32; ++i)
        _mm256_storeu_ps(out + 8 * i, _mm256_mul_ps(d, load_int8(block + 16 + 8 * i)));
    }
  }
};

// A cache format of V: block() is the 64 rows from `slot`; to_floats() gives rows [j0, j1) of it.
struct VF16 {
  static constexpr bool kDirect = true;
  static const uint8_t* block(const uint8_t* page, int hd, int slot) { return page + int64_t{2} * slot * hd; }
  static void to_floats(const uint8_t* block, int hd, int j0, int j1, float* out) {
    halves_to_floats(block + int64_t{2} * j0 * hd, int64_t{j1 - j0} * hd, out + int64_t{j0} * hd);
  }
};

struct VQ8_0 {
  static constexpr bool kDirect = false;
  static const uint8_t* block(const uint8_t* page, int hd, int slot) {
    return page + slot * (hd / 32) * int64_t{34};
  }
  static void to_floats(const uint8_t* block, int hd, int j0, int j1, float* out) {
    const int n_blocks = hd / 32;
    block += int64_t{34} * j0 * n_blocks;
    out += int64_t{j0} * hd;
    for (int b = 0; b < (j1 - j0) * n_blocks; ++b, block += 34, out += 32) {
      const __m256 d = from_half(block);
      for (int i = 0; i < 32; i += 8) _mm256_storeu_ps(out + i, _mm256_mul_ps(d, load_int8(block + 2 + i)));
    }
  }
};

// Scores of kQueries queries from i and of groups [g0, g1), in steps of kGroups aligned groups.
template <class T, int kGroups, int kQueries>
MORAINE_INLINE void scores(const Seen& s, int i, const uint8_t* k, int hd, int g0, int g1) {
  const int64_t stride = int64_t{8} * hd * T::kBytes;
  const float* q[kQueries];
#pragma GCC unroll 4
  for (int j = 0; j < kQueries; ++j) q[j] = s.q[i + j];
  for (int g = g0 / kGroups * kGroups; g < g1; g += kGroups) {
    const uint8_t* p = k + g * stride;
    __m256 acc[kGroups][kQueries];
#pragma GCC unroll 8
    for (int t = 0; t < kGroups; ++t)
#pragma GCC unroll 4
      for (int j = 0; j < kQueries; ++j) acc[t][j] = _mm256_setzero_ps();
    for (int c = 0; c < hd; ++c, p += 8 * T::kBytes) {
      __m256 qc[kQueries];
#pragma GCC unroll 4
      for (int j = 0; j < kQueries; ++j) qc[j] = _mm256_broadcast_ss(q[j] + c);
#pragma GCC unroll 8
      for (int t = 0; t < kGroups; ++t) {
        const __m256 kc = T::load8(p + t * stride);
#pragma GCC unroll 4
        for (int j = 0; j < kQueries; ++j) acc[t][j] = _mm256_fmadd_ps(qc[j], kc, acc[t][j]);
      }
    }
#pragma GCC unroll 8
    for (int t = 0; t < kGroups; ++t)
#pragma GCC unroll 4
      for (int j = 0; j < kQueries; ++j) _mm256_storeu_ps(s.p[i + j] + 8 * (g + t), acc[t][j]);
  }
}

template <class T>
void all_scores(const Seen& s, const uint8_t* k, int hd, int g0, int g1) {
  for (int i = 0; i < s.n; i += 4) switch (s.n - i) {
      case 1:
        scores<T, 8, 1>(s, i, k, hd, g0, g1);
        break;
      case 2:
        scores<T, 4, 2>(s, i, k, hd, g0, g1);
        break;
      case 3:
        scores<T, 4, 3>(s, i, k, hd, g0, g1);
        break;
      default:
        scores<T, 2, 4>(s, i, k, hd, g0, g1);
        break;
    }
}

// Scores of query i become weights; its m, l and o follow.
void softmax_step(const Seen& s, int i, int hd) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i below = _mm256_set1_epi32(s.from[i] - 1), end = _mm256_set1_epi32(s.to[i]);
  const auto seen = [&](int g) {
    const __m256i key = _mm256_add_epi32(lane, _mm256_set1_epi32(8 * g));
    return _mm256_castsi256_ps(
        _mm256_and_si256(_mm256_cmpgt_epi32(key, below), _mm256_cmpgt_epi32(end, key)));
  };
  const int g0 = s.from[i] / 8, g1 = (s.to[i] + 7) / 8;
  float* p = s.p[i];
  __m256 top = constant(-kInfinity);
  for (int g = g0; g < g1; ++g)  // a NaN never becomes the maximum
    top = _mm256_max_ps(_mm256_blendv_ps(constant(-kInfinity), _mm256_loadu_ps(p + 8 * g), seen(g)), top);
  const float old_m = *s.m[i], block_m = max_lane(top);
  const float m = (block_m > old_m ? block_m : old_m) + 0.0f;
  __m256 sums = _mm256_setzero_ps();
  for (int g = g0; g < g1; ++g) {
    const __m256 e = exp_lanes(_mm256_sub_ps(_mm256_loadu_ps(p + 8 * g), _mm256_set1_ps(m)));
    const __m256 weight = _mm256_and_ps(e, seen(g));
    _mm256_storeu_ps(p + 8 * g, weight);
    sums = _mm256_add_ps(sums, weight);
  }
  const __m256 correction = exp_lanes(_mm256_set1_ps(old_m - m));
  const __m128 l =
      _mm_fmadd_ss(_mm_set_ss(*s.l[i]), _mm256_castps256_ps128(correction), _mm_set_ss(tree_sum(sums)));
  *s.l[i] = _mm_cvtss_f32(l);
  *s.m[i] = m;
  float* o = s.o[i];
  for (int c = 0; c < hd; c += 8) _mm256_storeu_ps(o + c, _mm256_mul_ps(_mm256_loadu_ps(o + c), correction));
}

// o of kQueries queries from i gains keys [j0, j1): columns from c, kColumns vectors at once, then fewer.
template <class T, int kQueries, int kColumns>
MORAINE_INLINE void weigh(const Seen& s, int i, const uint8_t* v, int hd, int j0, int j1, int c = 0) {
  const int64_t stride = int64_t{hd} * T::kBytes;
  for (; c + 8 * kColumns <= hd; c += 8 * kColumns) {
    __m256 acc[kQueries][kColumns];
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) acc[q][t] = _mm256_loadu_ps(s.o[i + q] + c + 8 * t);
    const uint8_t* row = v + j0 * stride + c * T::kBytes;
    for (int j = j0; j < j1; ++j, row += stride) {
      __m256 p[kQueries];
#pragma GCC unroll 4
      for (int q = 0; q < kQueries; ++q) p[q] = _mm256_broadcast_ss(s.p[i + q] + j);
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) {
        const __m256 x = T::load8(row + 8 * t * T::kBytes);
#pragma GCC unroll 4
        for (int q = 0; q < kQueries; ++q) acc[q][t] = _mm256_fmadd_ps(p[q], x, acc[q][t]);
      }
    }
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) _mm256_storeu_ps(s.o[i + q] + c + 8 * t, acc[q][t]);
  }
  if constexpr (kColumns > 1)
    if (c < hd) weigh<T, kQueries, kColumns / 2>(s, i, v, hd, j0, j1, c);
}

template <class T, int kQueries, int kColumns>
MORAINE_INLINE void weigh_tile(const Seen& s, int i, const uint8_t* v, int hd) {
  weigh_together<kQueries>(
      s, i,
      [&](int q, int j0, int j1) __attribute__((always_inline)) { weigh<T, 1, 8>(s, q, v, hd, j0, j1); },
      [&](int j0, int j1)
          __attribute__((always_inline)) { weigh<T, kQueries, kColumns>(s, i, v, hd, j0, j1); });
}

template <class T>
void weigh_all(const Seen& s, const uint8_t* v, int hd) {
  for (int i = 0; i < s.n; i += 4) switch (s.n - i) {
      case 1:
        weigh<T, 1, 8>(s, i, v, hd, s.from[i], s.to[i]);
        break;
      case 2:
        weigh_tile<T, 2, 4>(s, i, v, hd);
        break;
      case 3:
        weigh_tile<T, 3, 4>(s, i, v, hd);
        break;
      default:
        weigh_tile<T, 4, 2>(s, i, v, hd);
        break;
    }
}

template <class K, class V>
MORAINE_INLINE void attend(const AttendArgs& a) {
  const int hd = a.head_dim;
  float* floats = a.scratch + kMaxQueries * kKvBlock;
  const uint8_t* const bytes = reinterpret_cast<const uint8_t*>(floats);
  for_each_block(
      a,
      [&](const Seen& s, const uint8_t* page, int slot, int first, int last) {
        const uint8_t* k = K::block(page, hd, slot);
        if (K::kDirect && s.n <= kDirectQueries) {
          all_scores<F16>(s, k, hd, first / 8, (last + 7) / 8);
        } else {
          K::to_floats(k, hd, 0, 8, floats);
          all_scores<F32>(s, bytes, hd, first / 8, (last + 7) / 8);
        }
      },
      [&](const Seen& s, int i) { softmax_step(s, i, hd); },
      [&](const Seen& s, const uint8_t* page, int slot, int first, int last) {
        const uint8_t* v = V::block(page, hd, slot);
        if (V::kDirect && s.n <= kDirectQueries) {
          weigh_all<F16>(s, v, hd);
        } else {
          V::to_floats(v, hd, first, last, floats);
          weigh_all<F32>(s, bytes, hd);
        }
      });
}

// 32 values to the cache's Q8_0: the scale as a half, and the quants.
MORAINE_INLINE __m256i to_q8_0(const float* x, uint16_t* d) {
  const float amax = max_magnitude(x, 32);
  *d = to_half(amax / 127.0f);
  return quantize_32(x, amax > 0.0f ? 127.0f / amax : 0.0f);
}

}  // namespace

void store_k_f16(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + (int64_t{slot / 8} * hd * 8 + slot % 8) * 2;
  for (int32_t i = 0; i < hd; ++i, p += 16) {
    const uint16_t h = to_half(x[i]);
    memcpy(p, &h, 2);
  }
}

void store_v_f16(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + int64_t{slot} * hd * 2;
  for (int32_t i = 0; i < hd; i += 8) {
    const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 2 * i), h);
  }
}

void store_k_q8_0(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + int64_t{slot / 8} * (hd / 32) * 272;
  for (int32_t b = 0; b < hd / 32; ++b, p += 272) {
    uint16_t d;
    alignas(32) int8_t q[32];
    _mm256_store_si256(reinterpret_cast<__m256i*>(q), to_q8_0(x + 32 * b, &d));
    memcpy(p + 2 * (slot % 8), &d, 2);
    for (int i = 0; i < 32; ++i) p[16 + 8 * i + slot % 8] = static_cast<uint8_t>(q[i]);
  }
}

void store_v_q8_0(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
  uint8_t* p = page + int64_t{slot} * (hd / 32) * 34;
  for (int32_t b = 0; b < hd / 32; ++b, p += 34) {
    uint16_t d;
    const __m256i q = to_q8_0(x + 32 * b, &d);
    memcpy(p, &d, 2);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 2), q);
  }
}

void attend_f16_f16(const AttendArgs& a) noexcept { attend<KF16, VF16>(a); }
void attend_f16_q8_0(const AttendArgs& a) noexcept { attend<KF16, VQ8_0>(a); }
void attend_q8_0_f16(const AttendArgs& a) noexcept { attend<KQ8_0, VF16>(a); }
void attend_q8_0_q8_0(const AttendArgs& a) noexcept { attend<KQ8_0, VQ8_0>(a); }

}  // namespace moraine::cpu::avx2
