// What AVX2 can do at most: the yardsticks of `moraine bench ops` (../kernels.h, struct Probes).
#include <immintrin.h>

#include "backend/cpu/kernels/avx2/kernels.h"

namespace moraine::cpu::avx2 {

// The exact int8 product of AVX2: maddubs, madd with ones, add; in eight chains, as a kernel has them.
int64_t probe_int8(int64_t repetitions) noexcept {
  const __m256i x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
  __m256i c0 = _mm256_setzero_si256(), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0, t;
#define STEP(k)                      \
  "vpmaddubsw %[y], %[x], %[t]\n\t"  \
  "vpmaddwd %[ones], %[t], %[t]\n\t" \
  "vpaddd %[t], %[c" #k "], %[c" #k "]\n\t"
  for (int64_t r = 0; r < repetitions; ++r)
    asm volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7)
                 : [c0] "+x"(c0), [c1] "+x"(c1), [c2] "+x"(c2), [c3] "+x"(c3), [c4] "+x"(c4), [c5] "+x"(c5),
                   [c6] "+x"(c6), [c7] "+x"(c7), [t] "=&x"(t)
                 : [x] "x"(x), [y] "x"(y), [ones] "x"(ones));
#undef STEP
  return repetitions * 8 * 64;
}

int64_t probe_float(int64_t repetitions) noexcept {
  const __m256 x = _mm256_set1_ps(1.0001f), y = _mm256_set1_ps(0.5f);
  __m256 c0 = x, c1 = x, c2 = x, c3 = x, c4 = x, c5 = x, c6 = x, c7 = x, c8 = x, c9 = x;
#define STEP(k) "vfmadd231ps %[y], %[x], %[c" #k "]\n\t"
  for (int64_t r = 0; r < repetitions; ++r)
    asm volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9)
                 : [c0] "+x"(c0), [c1] "+x"(c1), [c2] "+x"(c2), [c3] "+x"(c3), [c4] "+x"(c4), [c5] "+x"(c5),
                   [c6] "+x"(c6), [c7] "+x"(c7), [c8] "+x"(c8), [c9] "+x"(c9)
                 : [x] "x"(x), [y] "x"(y));
#undef STEP
  return repetitions * 10 * 16;
}

void probe_read(const uint8_t* data, int64_t n_bytes) noexcept {
  __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
  for (int64_t i = 0; i + 128 <= n_bytes; i += 128) {
    const auto* p = reinterpret_cast<const __m256i*>(data + i);
    _mm_prefetch(reinterpret_cast<const char*>(data + i + 1024), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(data + i + 1088), _MM_HINT_T0);
    s0 = _mm256_xor_si256(s0, _mm256_loadu_si256(p));
    s1 = _mm256_xor_si256(s1, _mm256_loadu_si256(p + 1));
    s2 = _mm256_xor_si256(s2, _mm256_loadu_si256(p + 2));
    s3 = _mm256_xor_si256(s3, _mm256_loadu_si256(p + 3));
  }
  s0 = _mm256_xor_si256(_mm256_xor_si256(s0, s1), _mm256_xor_si256(s2, s3));
  asm volatile("" ::"x"(s0));  // it was wanted
}

}  // namespace moraine::cpu::avx2
