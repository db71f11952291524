#include "base/xxh64.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace moraine {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87, kPrime2 = 0xC2B2AE3D27D4EB4F, kPrime3 = 0x165667B19E3779F9,
                   kPrime4 = 0x85EBCA77C2B2AE63, kPrime5 = 0x27D4EB2F165667C5;

template <class T>
uint64_t load(const std::byte* p) {  // little-endian, as every machine this runs on
  T v;
  std::memcpy(&v, p, sizeof(T));
  return v;
}
uint64_t round(uint64_t lane, uint64_t input) { return std::rotl(lane + input * kPrime2, 31) * kPrime1; }

void add_stripes(std::array<uint64_t, 4>& lanes, const std::byte* p, size_t n) {
  auto [a, b, c, d] = lanes;
  for (; n > 0; --n, p += 32) {
    a = round(a, load<uint64_t>(p));
    b = round(b, load<uint64_t>(p + 8));
    c = round(c, load<uint64_t>(p + 16));
    d = round(d, load<uint64_t>(p + 24));
  }
  lanes = {a, b, c, d};
}

}  // namespace

Xxh64::Xxh64(uint64_t seed) noexcept
    : seed_(seed), lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1} {}

void Xxh64::add(std::span<const std::byte> bytes) noexcept {
  total_ += bytes.size();
  if (n_rest_ > 0) {
    const size_t n = std::min(bytes.size(), rest_.size() - n_rest_);
    std::copy_n(bytes.begin(), n, rest_.begin() + static_cast<ptrdiff_t>(n_rest_));
    n_rest_ += n;
    bytes = bytes.subspan(n);
    if (n_rest_ < rest_.size()) return;
    add_stripes(lanes_, rest_.data(), 1);
  }
  add_stripes(lanes_, bytes.data(), bytes.size() / 32);
  bytes = bytes.last(bytes.size() % 32);
  std::copy(bytes.begin(), bytes.end(), rest_.begin());
  n_rest_ = bytes.size();
}

uint64_t Xxh64::sum() const noexcept {
  uint64_t h = seed_ + kPrime5;
  if (total_ >= 32) {
    const auto [a, b, c, d] = lanes_;
    h = std::rotl(a, 1) + std::rotl(b, 7) + std::rotl(c, 12) + std::rotl(d, 18);
    for (const uint64_t lane : lanes_) h = (h ^ round(0, lane)) * kPrime1 + kPrime4;
  }
  h += total_;
  const std::byte* p = rest_.data();
  const std::byte* end = p + n_rest_;
  for (; end - p >= 8; p += 8) h = std::rotl(h ^ round(0, load<uint64_t>(p)), 27) * kPrime1 + kPrime4;
  if (end - p >= 4) {
    h = std::rotl(h ^ (load<uint32_t>(p) * kPrime1), 23) * kPrime2 + kPrime3;
    p += 4;
  }
  for (; p != end; ++p) h = std::rotl(h ^ (load<uint8_t>(p) * kPrime5), 11) * kPrime1;
  h = (h ^ (h >> 33)) * kPrime2;
  h = (h ^ (h >> 29)) * kPrime3;
  return h ^ (h >> 32);
}

}  // namespace moraine
