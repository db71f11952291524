// The element types of tensors: plain ones and the block formats of GGUF files. Owns names, ids and
// sizes; what the bytes of a block mean is src/quant/, one file for each family.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace moraine {

// Values are GGUF's ggml_type ids, so a file's id converts by find_dtype alone. Not all of these can be
// computed with (quant/format.h says which), but files that hold any of them can be described.
enum class DType : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
};

struct DTypeInfo {
  DType dtype;
  const char* name;      // as llama.cpp prints it: "q4_K", "f32"
  uint32_t block_len;    // values in one block
  uint32_t block_bytes;  // bytes of one block in a file
  bool quantized;
};

// nullptr where the id is not one this build knows.
const DTypeInfo* find_dtype(uint32_t ggml_type_id) noexcept;
const DTypeInfo& info(DType t) noexcept;
std::optional<DType> dtype_from_name(std::string_view name) noexcept;  // case-insensitive

// Bytes of n consecutive values; n must be a multiple of block_len.
inline uint64_t dtype_bytes(DType t, uint64_t n) noexcept {
  const DTypeInfo& i = info(t);
  return n / i.block_len * i.block_bytes;
}

}  // namespace moraine
