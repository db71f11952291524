// Attention over paged KV; page layouts and arithmetic: kernels/scalar/attention.cpp. The plan is that of
// ../avx2/attention.cpp with sixteen lanes: one block of 64 keys at a time, scores (sixteen keys are the
// lanes, head_dim ascends), online softmax, then the weighted sum of V (sixteen columns are the lanes, keys
// ascend). Blocks that many queries share are first turned to floats in the scratch
// buffer, sixteen keys side by side; few queries read the cache directly. Storing is AVX2's.
#include "backend/cpu/kernels/attention_blocks.h"
#include "backend/cpu/kernels/avx512/kernels.h"
#include "backend/cpu/kernels/avx512/math.h"

namespace moraine::cpu::avx512 {
namespace {

constexpr int kVectors = kKvBlock / 16;
constexpr float kInfinity = __builtin_inff();

MORAINE_INLINE __m512 halves(const uint8_t* p) { return _mm512_cvtph_ps(load256(p)); }
// The half at p in every lane.
MORAINE_INLINE __m512 half(const uint8_t* p) {
  uint16_t h;
  memcpy(&h, p, 2);
  return constant(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(h))));
}
MORAINE_INLINE __m512 int8s(const uint8_t* low, const uint8_t* high) {
  const __m128i bytes = _mm_unpacklo_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(low)),
                                           _mm_loadl_epi64(reinterpret_cast<const __m128i*>(high)));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

// Two groups of eight keys in the cache, and their sixteen keys' values of column c.
MORAINE_INLINE Pair groups(const uint8_t* block, int64_t group_bytes, int vector) {
  return {block + 2 * vector * group_bytes, block + (2 * vector + 1) * group_bytes, 0xffff};
}

// How a block's values are read where they are used. Keys: 32 columns of sixteen keys have a Part, which
// holds their scales where there are some. Values: sixteen columns, or some, of row j.
struct Floats {
  struct Part {};
  static Part part(const uint8_t*, int, int, int) { return {}; }
  static __m512 keys(const Part&, const uint8_t* k, int hd, int t, int c) {
    return _mm512_loadu_ps(reinterpret_cast<const float*>(k) + (int64_t{t} * hd + c) * 16);
  }
  static __m512 values(const uint8_t* v, int hd, int j, int c, __mmask16 some) {
    return _mm512_maskz_loadu_ps(some, reinterpret_cast<const float*>(v) + int64_t{j} * hd + c);
  }
};
struct Halves {
  struct Part {};
  static Part part(const uint8_t*, int, int, int) { return {}; }
  static __m512 keys(const Part&, const uint8_t* k, int hd, int t, int c) {
    return load_halves(groups(k, int64_t{16} * hd, t) + 16 * c);
  }
  static __m512 values(const uint8_t* v, int hd, int j, int c, __mmask16 some) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(some, v + (int64_t{j} * hd + c) * 2));
  }
};
struct Int8s {  // of Q8_0: head_dim is a multiple of 32
  struct Part {
    Pair block;
    __m512 d;
  };
  static Part part(const uint8_t* k, int hd, int t, int c) {
    const Pair block = groups(k, int64_t{272} * (hd / 32), t) + c / 32 * 272;
    return {block + 16, load_halves(block)};
  }
  static __m512 keys(const Part& p, const uint8_t*, int, int, int c) {
    return _mm512_mul_ps(p.d, int8s(p.block.w0 + 8 * (c % 32), p.block.w1 + 8 * (c % 32)));
  }
  static __m512 values(const uint8_t* v, int hd, int j, int c, __mmask16) {
    const uint8_t* block = v + (j * (hd / 32) + c / 32) * int64_t{34};
    const __m512i q = _mm512_cvtepi8_epi32(load128(block + 2 + c % 32));
    return _mm512_mul_ps(half(block), _mm512_cvtepi32_ps(q));
  }
};

// A cache format of K: block() is the 64 keys from `slot`; to_floats() gives them as [4][head_dim][16 keys];
// Direct reads them as they are.
struct KF16 {
  using Direct = Halves;
  static const uint8_t* block(const uint8_t* page, int hd, int slot) { return page + int64_t{2} * slot * hd; }
  static void to_floats(const uint8_t* block, int hd, float* out) {
    for (int t = 0; t < kVectors; ++t) {
      const Pair k = groups(block, int64_t{16} * hd, t);
      for (int c = 0; c < hd; ++c, out += 16) _mm512_storeu_ps(out, load_halves(k + 16 * c));
    }
  }
};

struct KQ8_0 {
  using Direct = Int8s;
  static const uint8_t* block(const uint8_t* page, int hd, int slot) {
    return page + slot / 8 * (hd / 32) * int64_t{272};
  }
  static void to_floats(const uint8_t* block, int hd, float* out) {
    for (int t = 0; t < kVectors; ++t)
      for (int b = 0; b < hd / 32; ++b) {
        const Pair k = groups(block, int64_t{272} * (hd / 32), t) + 272 * b;
        const __m512 d = load_halves(k);
        for (int i = 0; i < 32; ++i, out += 16)
          _mm512_storeu_ps(out, _mm512_mul_ps(d, int8s(k.w0 + 16 + 8 * i, k.w1 + 16 + 8 * i)));
      }
  }
};

// A cache format of V: block() is the 64 rows from `slot`; to_floats() gives rows [j0, j1) of it.
struct VF16 {
  using Direct = Halves;
  static const uint8_t* block(const uint8_t* page, int hd, int slot) { return page + int64_t{2} * slot * hd; }
  static void to_floats(const uint8_t* block, int hd, int j0, int j1, float* out) {
    int64_t i = int64_t{j0} * hd;
    const int64_t end = int64_t{j1} * hd;
    for (; i + 16 <= end; i += 16) _mm512_storeu_ps(out + i, halves(block + 2 * i));
    if (i < end) _mm256_storeu_ps(out + i, _mm256_cvtph_ps(load128(block + 2 * i)));  // hd is 8 times odd
  }
};

struct VQ8_0 {
  using Direct = Int8s;
  static const uint8_t* block(const uint8_t* page, int hd, int slot) {
    return page + slot * (hd / 32) * int64_t{34};
  }
  static void to_floats(const uint8_t* block, int hd, int j0, int j1, float* out) {
    const int n_blocks = hd / 32;
    block += int64_t{34} * j0 * n_blocks;
    out += int64_t{j0} * hd;
    for (int b = 0; b < (j1 - j0) * n_blocks; ++b, block += 34, out += 32) {
      const __m512 d = half(block);
      for (int i = 0; i < 32; i += 16)
        _mm512_storeu_ps(out + i, _mm512_mul_ps(d, int8s(block + 2 + i, block + 10 + i)));
    }
  }
};

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
      typename T::Part part[kAtOnce];
#pragma GCC unroll 4
      for (int t = 0; t < kAtOnce; ++t) part[t] = T::part(k, hd, t0 + t, c0);
      const int end = hd - c0 < 32 ? hd : c0 + 32;
      for (int c = c0; c < end; ++c) {
        __m512 kc[kAtOnce];
#pragma GCC unroll 4
        for (int t = 0; t < kAtOnce; ++t) kc[t] = T::keys(part[t], k, hd, t0 + t, c);
#pragma GCC unroll 8
        for (int j = 0; j < kQueries; ++j) {
          const __m512 qc = constant(q[j][c]);
#pragma GCC unroll 4
          for (int t = 0; t < kAtOnce; ++t) acc[t][j] = _mm512_fmadd_ps(qc, kc[t], acc[t][j]);
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
  for (; c + (kColumns > 1 ? 16 * kColumns : 1) <= hd; c += 16 * kColumns) {
    const __mmask16 some = first_lanes(hd - c < 16 ? hd - c : 16);  // of one vector alone
    __m512 acc[kQueries][kColumns];
#pragma GCC unroll 8
    for (int q = 0; q < kQueries; ++q)
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) acc[q][t] = _mm512_maskz_loadu_ps(some, s.o[i + q] + c + 16 * t);
    for (int j = j0; j < j1; ++j) {
      __m512 x[kColumns];
#pragma GCC unroll 8
      for (int t = 0; t < kColumns; ++t) x[t] = T::values(v, hd, j, c + 16 * t, some);
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
      a,
      [&](const Seen& s, const uint8_t* page, int slot, int, int) {
        const uint8_t* k = K::block(page, hd, slot);
        if (s.n <= kDirectQueries) {
          all_scores<typename K::Direct>(s, k, hd);
        } else {
          K::to_floats(k, hd, floats);
          all_scores<Floats>(s, bytes, hd);
        }
      },
      [&](const Seen& s, int i) { softmax_step(s, i, hd); },
      [&](const Seen& s, const uint8_t* page, int slot, int first, int last) {
        const uint8_t* v = V::block(page, hd, slot);
        if (s.n <= kDirectQueries) {
          weigh_all<typename V::Direct>(s, v, hd);
        } else {
          V::to_floats(v, hd, first, last, floats);
          weigh_all<Floats>(s, bytes, hd);
        }
      });
}

}  // namespace

void attend_f16_f16(const AttendArgs& a) noexcept { attend<KF16, VF16>(a); }
void attend_f16_q8_0(const AttendArgs& a) noexcept { attend<KF16, VQ8_0>(a); }
void attend_q8_0_f16(const AttendArgs& a) noexcept { attend<KQ8_0, VF16>(a); }
void attend_q8_0_q8_0(const AttendArgs& a) noexcept { attend<KQ8_0, VQ8_0>(a); }

}  // namespace moraine::cpu::avx512
