// What AVX-512 can do at most: the yardsticks of `moraine bench ops` (../kernels.h, struct Probes).
#include <immintrin.h>

#include "backend/cpu/kernels/avx512/kernels.h"

namespace moraine::cpu::avx512 {

#define CHAINS                                                                                             \
  [c0] "+v"(c0), [c1] "+v"(c1), [c2] "+v"(c2), [c3] "+v"(c3), [c4] "+v"(c4), [c5] "+v"(c5), [c6] "+v"(c6), \
      [c7] "+v"(c7), [c8] "+v"(c8), [c9] "+v"(c9)

int64_t probe_int8(int64_t repetitions) noexcept {
  const __m512i x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(5);
  __m512i c0 = x, c1 = x, c2 = x, c3 = x, c4 = x, c5 = x, c6 = x, c7 = x, c8 = x, c9 = x;
#define STEP(k) "vpdpbusd %[y], %[x], %[c" #k "]\n\t"
  for (int64_t r = 0; r < repetitions; ++r)
    asm volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9)
                 : CHAINS
                 : [x] "v"(x), [y] "v"(y));
#undef STEP
  return repetitions * 10 * 128;
}

int64_t probe_float(int64_t repetitions) noexcept {
  const __m512 x = _mm512_set1_ps(1.0001f), y = _mm512_set1_ps(0.5f);
  __m512 c0 = x, c1 = x, c2 = x, c3 = x, c4 = x, c5 = x, c6 = x, c7 = x, c8 = x, c9 = x;
#define STEP(k) "vfmadd231ps %[y], %[x], %[c" #k "]\n\t"
  for (int64_t r = 0; r < repetitions; ++r)
    asm volatile(STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9)
                 : CHAINS
                 : [x] "v"(x), [y] "v"(y));
#undef STEP
  return repetitions * 10 * 32;
}
#undef CHAINS

}  // namespace moraine::cpu::avx512
