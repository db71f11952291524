// Attention over paged KV; page layouts and arithmetic: kernels/scalar/attention.cpp.
//
// One block of 64 keys at a time: scores of all queries (eight keys are the lanes, head_dim ascends),
// online softmax, then the weighted sum of V (eight columns are the lanes, keys ascend). Blocks that many
// queries share are first turned to floats in the scratch buffer; few queries read the cache directly
// (kv_formats.h). Slots that a query does not see may hold anything: their scores are masked and their V
// rows are never multiplied into its sum.
#include "backend/cpu/kernels/attention_blocks.h"
#include "backend/cpu/kernels/avx2/kernels.h"
#include "backend/cpu/kernels/avx2/kv_formats.h"
#include "backend/cpu/kernels/avx2/math.h"

namespace moraine::cpu::avx2 {
namespace {

constexpr float kInfinity = __builtin_inff();

// The 64 keys from k, and rows [j0, j1) of the values from v, as the scratch buffer holds them.
template <class T>
void keys_to_floats(const uint8_t* k, int hd, float* out) {
  for (int g = 0; g < kKvBlock / 8; ++g, k += T::group_bytes(hd))
    for (int c0 = 0; c0 < hd; c0 += 32) {
      const auto part = T::key_part(k, c0);
      const int end = hd - c0 < 32 ? hd : c0 + 32;
      for (int c = c0; c < end; c += 2, out += 16) {
        _mm256_storeu_ps(out, T::keys(part, c - c0, false));
        _mm256_storeu_ps(out + 8, T::keys(part, c - c0 + 1, true));
      }
    }
}
template <class T>
void values_to_floats(const uint8_t* v, int hd, int j0, int j1, float* out) {
  out += int64_t{j0} * hd;
  for (int j = j0; j < j1; ++j)
    for (int c0 = 0; c0 < hd; c0 += 32) {
      const auto part = T::row_part(v + j * T::row_bytes(hd), c0);
      const int end = hd - c0 < 32 ? hd : c0 + 32;
      for (int c = c0; c < end; c += 8, out += 8) _mm256_storeu_ps(out, T::values(part, c - c0));
    }
}

// Scores of kQueries queries from i and of groups [g0, g1), in steps of kGroups aligned groups.
template <class T, int kGroups, int kQueries>
MORAINE_INLINE void scores(const Seen& s, int i, const uint8_t* k, int hd, int g0, int g1) {
  const int64_t stride = T::group_bytes(hd);
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
    for (int c0 = 0; c0 < hd; c0 += 32) {
      typename T::KeyPart part[kGroups];
#pragma GCC unroll 8
      for (int t = 0; t < kGroups; ++t) part[t] = T::key_part(p + t * stride, c0);
      const int n = hd - c0 < 32 ? hd - c0 : 32;
      for (int even = 0; even < n; even += 2) {
#pragma GCC unroll 2
        for (int c = even; c < even + 2; ++c) {
          __m256 qc[kQueries];
#pragma GCC unroll 4
          for (int j = 0; j < kQueries; ++j) qc[j] = _mm256_broadcast_ss(q[j] + c0 + c);
#pragma GCC unroll 8
          for (int t = 0; t < kGroups; ++t) {
            const __m256 kc = T::keys(part[t], c, c > even);
#pragma GCC unroll 4
            for (int j = 0; j < kQueries; ++j) acc[t][j] = _mm256_fmadd_ps(qc[j], kc, acc[t][j]);
          }
        }
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
  // Where the maximum stays, as it does in most blocks, the correction is exactly 1. (Infinities differ by
  // NaN.)
  if (old_m - m == 0.0f) {
    *s.l[i] += tree_sum(sums);
    return;
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
  constexpr int kParts = kColumns > 4 ? kColumns / 4 : 1;
  const int64_t stride = T::row_bytes(hd);
  for (; c + 8 * kColumns <= hd; c += 8 * kColumns) {
    __m256 acc[kQueries][kColumns];
#pragma GCC unroll 4
    for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) acc[q][t] = _mm256_loadu_ps(s.o[i + q] + c + 8 * t);
    const uint8_t* row = v + j0 * stride;
    for (int j = j0; j < j1; ++j, row += stride) {
      __m256 p[kQueries];
#pragma GCC unroll 4
      for (int q = 0; q < kQueries; ++q) p[q] = _mm256_broadcast_ss(s.p[i + q] + j);
      typename T::RowPart part[kParts];
#pragma GCC unroll 2
      for (int b = 0; b < kParts; ++b) part[b] = T::row_part(row, c + 32 * b);
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) {
        const __m256 x = T::values(part[t / 4], c % 32 + t % 4 * 8);
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
      a, K::group_bytes(hd) / 8, V::row_bytes(hd),
      [&](const Seen& s, const uint8_t* page, int slot, int first, int last) {
        const uint8_t* k = page + slot / 8 * K::group_bytes(hd);
        if (s.n <= kDirectQueries) {
          all_scores<K>(s, k, hd, first / 8, (last + 7) / 8);
        } else {
          keys_to_floats<K>(k, hd, floats);
          all_scores<Floats>(s, bytes, hd, first / 8, (last + 7) / 8);
        }
      },
      [&](const Seen& s, int i) { softmax_step(s, i, hd); },
      [&](const Seen& s, const uint8_t* page, int slot, int first, int last) {
        const uint8_t* v = page + slot * V::row_bytes(hd);
        if (s.n <= kDirectQueries) {
          weigh_all<V>(s, v, hd);
        } else {
          values_to_floats<V>(v, hd, first, last, floats);
          weigh_all<Floats>(s, bytes, hd);
        }
      });
}

}  // namespace

void attend_f16_f16(const AttendArgs& a) noexcept { attend<Halves, Halves>(a); }
void attend_f16_q8_0(const AttendArgs& a) noexcept { attend<Halves, Int8s>(a); }
void attend_f16_q4_0(const AttendArgs& a) noexcept { attend<Halves, Nibbles>(a); }
void attend_q8_0_f16(const AttendArgs& a) noexcept { attend<Int8s, Halves>(a); }
void attend_q8_0_q8_0(const AttendArgs& a) noexcept { attend<Int8s, Int8s>(a); }
void attend_q8_0_q4_0(const AttendArgs& a) noexcept { attend<Int8s, Nibbles>(a); }
void attend_q4_0_f16(const AttendArgs& a) noexcept { attend<Nibbles, Halves>(a); }
void attend_q4_0_q8_0(const AttendArgs& a) noexcept { attend<Nibbles, Int8s>(a); }
void attend_q4_0_q4_0(const AttendArgs& a) noexcept { attend<Nibbles, Nibbles>(a); }

}  // namespace moraine::cpu::avx2
