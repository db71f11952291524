// Attention over paged KV; page layouts and arithmetic: kernels/scalar/attention.cpp. The plan is that of
// ../avx2/attention.cpp with sixteen lanes: one block of 64 keys at a time, scores (sixteen keys are the
// lanes, head_dim ascends), online softmax, then the weighted sum of V (sixteen columns are the lanes, keys
// ascend). Blocks that many queries share are first turned to floats in the scratch
// buffer, sixteen keys side by side; few queries read the cache directly (kv_formats.h). Storing is AVX2's.
#include "backend/cpu/kernels/attention_blocks.h"
#include "backend/cpu/kernels/avx512/kernels.h"
#include "backend/cpu/kernels/avx512/kv_formats.h"
#include "backend/cpu/kernels/avx512/math.h"

namespace moraine::cpu::avx512 {
namespace {

constexpr int kVectors = kKvBlock / 16;
constexpr float kInfinity = __builtin_inff();

// Two groups of eight keys in the cache, and their sixteen keys' values of column c.
MORAINE_INLINE Pair groups(const uint8_t* block, int64_t group_bytes, int vector) {
  return {block + 2 * vector * group_bytes, block + (2 * vector + 1) * group_bytes, 0xffff};
}

// The 64 keys from k, and rows [j0, j1) of the values from v, as the scratch buffer holds them.
template <class T>
void keys_to_floats(const uint8_t* k, int hd, float* out) {
  for (int t = 0; t < kVectors; ++t)
    for (int c0 = 0; c0 < hd; c0 += 32) {
      const auto part = T::key_part(groups(k, T::group_bytes(hd), t), c0);
      const int end = hd - c0 < 32 ? hd : c0 + 32;
      for (int c = c0; c < end; c += 2, out += 32) {
        _mm512_storeu_ps(out, T::keys(part, c - c0, false));
        _mm512_storeu_ps(out + 16, T::keys(part, c - c0 + 1, true));
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
      int c = c0;
      for (; c + 16 <= end; c += 16, out += 16) _mm512_storeu_ps(out, T::values(part, c - c0, 0xffff));
      if (c == end) continue;
      _mm512_mask_storeu_ps(out, 0xff, T::values(part, c - c0, 0xff));  // head_dim is 8 times an odd number
      out += 8;
    }
}

// Scores of kQueries queries from i with all 64 keys, kAtOnce vectors of them at a time; what a slot that is
// not seen holds does not matter.
template <class T, int kQueries, int kAtOnce>
MORAINE_INLINE void scores(const Seen& s, int i, const uint8_t* k, int hd) {
  const float* q[kQueries];
#pragma GCC unroll 8
  for (int j = 0; j < kQueries; ++j) q[j] = s.q[i + j];
  for (int t0 = 0; t0 < kVectors; t0 += kAtOnce) {
    __m512 acc[kAtOnce][kQueries];
#pragma GCC unroll 4
    for (int t = 0; t < kAtOnce; ++t)
#pragma GCC unroll 8
      for (int j = 0; j < kQueries; ++j) acc[t][j] = _mm512_setzero_ps();
    for (int c0 = 0; c0 < hd; c0 += 32) {
      typename T::KeyPart part[kAtOnce];
#pragma GCC unroll 4
      for (int t = 0; t < kAtOnce; ++t) part[t] = T::key_part(groups(k, T::group_bytes(hd), t0 + t), c0);
      const int n = hd - c0 < 32 ? hd - c0 : 32;
      for (int even = 0; even < n; even += 2) {
#pragma GCC unroll 2
        for (int c = even; c < even + 2; ++c) {
          __m512 kc[kAtOnce];
#pragma GCC unroll 4
          for (int t = 0; t < kAtOnce; ++t) kc[t] = T::keys(part[t], c, c > even);
#pragma GCC unroll 8
          for (int j = 0; j < kQueries; ++j) {
            const __m512 qc = constant(q[j][c0 + c]);
#pragma GCC unroll 4
            for (int t = 0; t < kAtOnce; ++t) acc[t][j] = _mm512_fmadd_ps(qc, kc[t], acc[t][j]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < kQueries; ++j)
#pragma GCC unroll 4
      for (int t = 0; t < kAtOnce; ++t) _mm512_storeu_ps(s.p[i + j] + 16 * (t0 + t), acc[t][j]);
  }
}

template <class T>
void all_scores(const Seen& s, const uint8_t* k, int hd) {
  int i = 0;
  // Eight at once read a block of floats that the first-level cache does not hold half as often.
  for (; i + 8 <= s.n; i += 8) scores<T, 8, 2>(s, i, k, hd);
  for (; i < s.n; i += 4) switch (s.n - i) {
      case 1:
        scores<T, 1, 4>(s, i, k, hd);
        break;
      case 2:
        scores<T, 2, 4>(s, i, k, hd);
        break;
      case 3:
        scores<T, 3, 4>(s, i, k, hd);
        break;
      default:
        scores<T, 4, 4>(s, i, k, hd);
        break;
    }
}

// Scores of query i become weights; its m, l and o follow.
void softmax_step(const Seen& s, int i, int hd) {
  const uint64_t end = s.to[i] == 64 ? ~uint64_t{0} : (uint64_t{1} << s.to[i]) - 1;
  const uint64_t seen = end & (~uint64_t{0} << s.from[i]);
  float* p = s.p[i];
  __m512 score[kVectors], top = constant(-kInfinity);
#pragma GCC unroll 4
  for (int t = 0; t < kVectors; ++t) {
    score[t] = _mm512_loadu_ps(p + 16 * t);
    const __mmask16 some = static_cast<__mmask16>(seen >> (16 * t));
    // A NaN never becomes the maximum.
    top = _mm512_max_ps(_mm512_mask_mov_ps(constant(-kInfinity), some, score[t]), top);
  }
  const float old_m = *s.m[i], block_m = max_lane(top);
  const float m = (block_m > old_m ? block_m : old_m) + 0.0f;
  __m256 sums = _mm256_setzero_ps();
#pragma GCC unroll 4
  for (int t = 0; t < kVectors; ++t) {
    const __mmask16 some = static_cast<__mmask16>(seen >> (16 * t));
    const __m512 weight = _mm512_maskz_mov_ps(some, exp_lanes(_mm512_sub_ps(score[t], constant(m))));
    _mm512_storeu_ps(p + 16 * t, weight);
    sums = _mm256_add_ps(_mm256_add_ps(sums, low_half(weight)), high_half(weight));
  }
  // Where the maximum stays, as it does in most blocks, the correction is exactly 1. (Infinities differ by
  // NaN.)
  if (old_m - m == 0.0f) {
    *s.l[i] += tree_sum(sums);
    return;
  }
  const __m512 correction = exp_lanes(constant(old_m - m));
  const __m128 l =
      _mm_fmadd_ss(_mm_set_ss(*s.l[i]), _mm512_castps512_ps128(correction), _mm_set_ss(tree_sum(sums)));
  *s.l[i] = _mm_cvtss_f32(l);
  *s.m[i] = m;
  float* o = s.o[i];
  for (int c = 0; c < hd; c += 16) {
    const __mmask16 some = first_lanes(hd - c < 16 ? hd - c : 16);
    _mm512_mask_storeu_ps(o + c, some, _mm512_mul_ps(_mm512_maskz_loadu_ps(some, o + c), correction));
  }
}

// o of kQueries queries from i gains keys [j0, j1): columns from c, kColumns vectors at once, then fewer.
template <class T, int kQueries, int kColumns>
MORAINE_INLINE void weigh(const Seen& s, int i, const uint8_t* v, int hd, int j0, int j1, int c = 0) {
  constexpr int kParts = kColumns > 2 ? kColumns / 2 : 1;
  const int64_t stride = T::row_bytes(hd);
  for (; c + (kColumns > 1 ? 16 * kColumns : 1) <= hd; c += 16 * kColumns) {
    const __mmask16 some = first_lanes(hd - c < 16 ? hd - c : 16);  // of one vector alone
    __m512 acc[kQueries][kColumns];
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) acc[q][t] = _mm512_maskz_loadu_ps(some, s.o[i + q] + c + 16 * t);
    for (int j = j0; j < j1; ++j) {
      typename T::RowPart part[kParts];
#pragma GCC unroll 8
      for (int b = 0; b < kParts; ++b) part[b] = T::row_part(v + j * stride, c + 32 * b);
      __m512 x[kColumns];
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) x[t] = T::values(part[t / 2], c % 32 + t % 2 * 16, some);
#pragma GCC unroll 8
      for (int q = 0; q < kQueries; ++q) {
        const __m512 p = constant(s.p[i + q][j]);
#pragma GCC unroll 8
        for (int t = 0; t < kColumns; ++t) acc[q][t] = _mm512_fmadd_ps(p, x[t], acc[q][t]);
      }
    }
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) _mm512_mask_storeu_ps(s.o[i + q] + c + 16 * t, some, acc[q][t]);
  }
  if constexpr (kColumns > 1)
    if (c < hd) weigh<T, kQueries, kColumns / 2>(s, i, v, hd, j0, j1, c);
}

template <class T, int kQueries, int kColumns>
MORAINE_INLINE void weigh_tile(const Seen& s, int i, const uint8_t* v, int hd) {
  weigh_together<kQueries>(
      s, i,
      [&](int q, int j0, int j1) __attribute__((always_inline)) { weigh<T, 1, 4>(s, q, v, hd, j0, j1); },
      [&](int j0, int j1)
          __attribute__((always_inline)) { weigh<T, kQueries, kColumns>(s, i, v, hd, j0, j1); });
}

template <class T>
void weigh_all(const Seen& s, const uint8_t* v, int hd) {
  int i = 0;
  for (; i + 8 <= s.n; i += 8) weigh_tile<T, 8, 2>(s, i, v, hd);
  for (; i < s.n; i += 4) switch (s.n - i) {
      case 1:
        weigh<T, 1, 4>(s, i, v, hd, s.from[i], s.to[i]);
        break;
      case 2:
        weigh_tile<T, 2, 4>(s, i, v, hd);
        break;
      case 3:
        weigh_tile<T, 3, 4>(s, i, v, hd);
        break;
      default:
        weigh_tile<T, 4, 4>(s, i, v, hd);
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
      [&](const Seen& s, const uint8_t* page, int slot, int, int) {
        const uint8_t* k = page + slot / 8 * K::group_bytes(hd);
        if (s.n <= kDirectQueries) {
          all_scores<K>(s, k, hd);
        } else {
          keys_to_floats<K>(k, hd, floats);
          all_scores<Floats>(s, bytes, hd);
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

}  // namespace moraine::cpu::avx512
