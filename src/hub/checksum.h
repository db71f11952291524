// The sums that the hub names files by: SHA-256, or git's SHA-1 of a blob.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace moraine::hub {

class Checksum {
 public:
  static Checksum sha256();
  static Checksum git_blob(uint64_t size_bytes);
  ~Checksum();
  Checksum(Checksum&&) noexcept;

  void add(std::span<const std::byte> bytes);
  std::string hex();  // ends it

 private:
  struct State;
  explicit Checksum(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace moraine::hub
