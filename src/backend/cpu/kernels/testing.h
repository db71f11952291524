// What the kernel tests share: the instruction sets to test, random data, comparison of bits.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "backend/cpu/kernels/kernels.h"
#include "base/cpu_features.h"

namespace moraine::cpu::testing {

// The vector instruction sets that this build holds and this machine runs.
inline std::vector<const Kernels*> vector_kernels() {
  std::vector<const Kernels*> all;
#ifdef MORAINE_AVX2
  if (detect_cpu().avx2) all.push_back(&avx2_kernels());
#endif
  return all;
}

// Runs f(kernels) for each; skips visibly where there is none.
#define FOR_EACH_VECTOR_ISA(kernels)                                                              \
  const auto isas = ::moraine::cpu::testing::vector_kernels();                                    \
  if (isas.empty()) GTEST_SKIP() << "this machine has no vector instruction set that we support"; \
  for (const ::moraine::cpu::Kernels* kernels : isas)

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  float normal(float sigma = 1.0f) { return sigma * std::normal_distribution<float>()(engine_); }
  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  uint8_t byte() { return static_cast<uint8_t>(engine_()); }

  std::vector<float> normals(size_t n, float sigma = 1.0f) {
    std::vector<float> v(n);
    for (float& x : v) x = normal(sigma);
    return v;
  }
  std::vector<uint8_t> bytes(size_t n) {
    std::vector<uint8_t> v(n);
    for (uint8_t& x : v) x = byte();
    return v;
  }

 private:
  std::mt19937 engine_;
};

inline uint32_t bits(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  return u;
}

// Bits equal, and any NaN equal to any other: which NaN an operation gives is the hardware's choice.
inline bool same(float a, float b) { return bits(a) == bits(b) || (std::isnan(a) && std::isnan(b)); }

inline ::testing::AssertionResult same(const float* a, const float* b, size_t n) {
  for (size_t i = 0; i < n; ++i)
    if (!same(a[i], b[i]))
      return ::testing::AssertionFailure() << "value " << i << ": " << a[i] << " is not " << b[i];
  return ::testing::AssertionSuccess();
}

}  // namespace moraine::cpu::testing
