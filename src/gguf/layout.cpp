// The size of a tensor's data, with every product checked.
#include "gguf/layout.h"

#include <fmt/format.h>

#include "gguf/limits.h"

namespace moraine::gguf {

std::optional<uint64_t> tensor_size(DType dtype, std::span<const uint64_t> shape, std::string& fault) {
  if (shape.size() > kMaxDims) {
    fault = fmt::format("has {} dimensions, more than the limit of {}", shape.size(), kMaxDims);
    return std::nullopt;
  }
  uint64_t n_values = 1;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 0) {
      fault = fmt::format("is 0 in dimension {}", d);
      return std::nullopt;
    }
    if (shape[d] > kMaxTensorValues / n_values) {
      fault = fmt::format("is {} in dimension {}, so that the number of values overflows", shape[d], d);
      return std::nullopt;
    }
    n_values *= shape[d];
  }
  const DTypeInfo& type = info(dtype);
  const uint64_t row = shape.empty() ? 1 : shape[0];
  if (row % type.block_len != 0) {
    fault = fmt::format("has rows of {} values, but {} packs {} to a block", row, type.name, type.block_len);
    return std::nullopt;
  }
  const uint64_t n_blocks = n_values / type.block_len;
  if (n_blocks > (uint64_t{1} << 63) / type.block_bytes) {
    fault = fmt::format("holds {} values, whose bytes overflow", n_values);
    return std::nullopt;
  }
  return n_blocks * type.block_bytes;
}

}  // namespace moraine::gguf
