// What the kernel tests share: the instruction sets to test, random data, comparison of bits.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <random>
#include <utility>
#include <vector>

#include "backend/cpu/kernels/kernels.h"
#include "base/cpu_features.h"

namespace moraine::cpu::testing {

#ifdef MORAINE_EMULATED
constexpr bool kEmulated = true;  // slow: fewer sizes
#else
constexpr bool kEmulated = false;
#endif

// The vector instruction sets that this build holds and this machine runs; of the emulation, AVX-512 and AMX,
// which it runs on AVX2.
inline std::vector<const Kernels*> vector_kernels() {
  std::vector<const Kernels*> all;
#ifdef MORAINE_EMULATED
  if (detect_cpu().avx2) all = {&avx512_kernels(), &amx_kernels()};
#elif defined(MORAINE_X86)
  if (detect_cpu().avx2) all.push_back(&avx2_kernels());
  if (detect_cpu().avx512_vnni) all.push_back(&avx512_kernels());
  if (allow_amx()) all.push_back(&amx_kernels());
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

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kDenormal = 1e-42f;

inline constexpr float kOddValues[] = {
    0.0f, -0.0f, 1.0f,  -1.0f,  kDenormal, -kDenormal, 1e-38f, 1e38f,  -3e38f, 3.4e38f, kInf,  -kInf,
    kNan, -kNan, 88.3f, -88.3f, -87.33f,   87.5f,      88.8f,  -104.f, 20.0f,  -20.0f,  1e10f, -1e10f};

// n values, one in eight of them odd.
inline std::vector<float> odd_values(Random& random, int n) {
  std::vector<float> v = random.normals(n, 4.0f);
  for (float& x : v)
    if (random.integer(0, 7) == 0) x = kOddValues[random.integer(0, std::size(kOddValues) - 1)];
  return v;
}

// n values whose last one is followed by an unmapped page: reading or writing beyond the end is a crash.
// Aligned to at least kAlign, for which the end is moved down by less than that.
template <class T, size_t kAlign = sizeof(T)>
class Guarded {
 public:
  Guarded() = default;
  explicit Guarded(size_t n, T value = T()) : size_(n) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = (n * sizeof(T) + kAlign - 1) / kAlign * kAlign;
    mapped_ = (bytes + page - 1) / page * page + page;
    map_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    char* end = static_cast<char*>(map_) + mapped_ - page;
    if (mprotect(end, page, PROT_NONE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(end - bytes);
    std::fill(begin(), this->end(), value);
  }
  explicit Guarded(const std::vector<T>& v) : Guarded(v.size()) { std::copy(v.begin(), v.end(), data_); }
  Guarded(Guarded&& o) noexcept { *this = std::move(o); }
  Guarded& operator=(Guarded&& o) noexcept {
    std::swap(map_, o.map_), std::swap(mapped_, o.mapped_), std::swap(data_, o.data_),
        std::swap(size_, o.size_);
    return *this;
  }
  ~Guarded() {
    if (map_ != MAP_FAILED) munmap(map_, mapped_);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  bool operator==(const Guarded& o) const {
    return size_ == o.size_ && std::equal(data_, data_ + size_, o.data_);
  }

 private:
  void* map_ = MAP_FAILED;
  size_t mapped_ = 0;
  T* data_ = nullptr;
  size_t size_ = 0;
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
