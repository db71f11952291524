// XXH64, a fast 64-bit checksum (specification: xxHash's doc/xxhash_spec.md): finds bytes that changed by
// accident, and spreads keys. No protection against somebody who looks for equal sums.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace moraine {

class Xxh64 {
 public:
  explicit Xxh64(uint64_t seed = 0) noexcept;
  void add(std::span<const std::byte> bytes) noexcept;
  template <class T>
  void add_value(const T& value) noexcept {
    add(std::as_bytes(std::span(&value, 1)));
  }
  uint64_t sum() const noexcept;  // of all that was added so far

  static uint64_t of(std::span<const std::byte> bytes, uint64_t seed = 0) noexcept {
    Xxh64 x(seed);
    x.add(bytes);
    return x.sum();
  }

 private:
  uint64_t seed_, total_ = 0;
  std::array<uint64_t, 4> lanes_;
  std::array<std::byte, 32> rest_;  // bytes that do not fill a stripe yet
  size_t n_rest_ = 0;
};

}  // namespace moraine
