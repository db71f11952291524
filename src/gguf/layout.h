// The rules of where tensor data lies that reader and writer share.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tensor/dtype.h"

namespace moraine::gguf {

// Bytes of a tensor, at most 2^63. An empty result where the shape is impossible; `fault` then
// continues the sentence "the shape ..."
std::optional<uint64_t> tensor_size(DType dtype, std::span<const uint64_t> shape, std::string& fault);

inline uint64_t align_up(uint64_t offset, uint64_t alignment) noexcept {
  return (offset + alignment - 1) / alignment * alignment;
}

}  // namespace moraine::gguf
