#include "tensor/dtype.h"

#include <cctype>
#include <cstddef>

#include "base/check.h"

namespace moraine {
namespace {

// Source: enum ggml_type of ggml.h and GGML_QUANT_SIZES of the Python package gguf. Q8_1 and Q8_K, which
// exist for activations only, and withdrawn types are left out: no file has them.
constexpr DTypeInfo kTypes[] = {
    {DType::kF32, "f32", 1, 4, false},
    {DType::kF16, "f16", 1, 2, false},
    {DType::kBF16, "bf16", 1, 2, false},
    {DType::kF64, "f64", 1, 8, false},
    {DType::kI8, "i8", 1, 1, false},
    {DType::kI16, "i16", 1, 2, false},
    {DType::kI32, "i32", 1, 4, false},
    {DType::kI64, "i64", 1, 8, false},
    {DType::kQ4_0, "q4_0", 32, 18, true},
    {DType::kQ4_1, "q4_1", 32, 20, true},
    {DType::kQ5_0, "q5_0", 32, 22, true},
    {DType::kQ5_1, "q5_1", 32, 24, true},
    {DType::kQ8_0, "q8_0", 32, 34, true},
    {DType::kQ1_0, "q1_0", 128, 18, true},
    {DType::kQ2_K, "q2_K", 256, 84, true},
    {DType::kQ3_K, "q3_K", 256, 110, true},
    {DType::kQ4_K, "q4_K", 256, 144, true},
    {DType::kQ5_K, "q5_K", 256, 176, true},
    {DType::kQ6_K, "q6_K", 256, 210, true},
    {DType::kIQ1_S, "iq1_s", 256, 50, true},
    {DType::kIQ1_M, "iq1_m", 256, 56, true},
    {DType::kIQ2_XXS, "iq2_xxs", 256, 66, true},
    {DType::kIQ2_XS, "iq2_xs", 256, 74, true},
    {DType::kIQ2_S, "iq2_s", 256, 82, true},
    {DType::kIQ3_XXS, "iq3_xxs", 256, 98, true},
    {DType::kIQ3_S, "iq3_s", 256, 110, true},
    {DType::kIQ4_NL, "iq4_nl", 32, 18, true},
    {DType::kIQ4_XS, "iq4_xs", 256, 136, true},
    {DType::kTQ1_0, "tq1_0", 256, 54, true},
    {DType::kTQ2_0, "tq2_0", 256, 66, true},
    {DType::kMXFP4, "mxfp4", 32, 17, true},
    {DType::kNVFP4, "nvfp4", 64, 36, true},
};

}  // namespace

const DTypeInfo* find_dtype(uint32_t id) noexcept {
  for (const DTypeInfo& t : kTypes)
    if (static_cast<uint32_t>(t.dtype) == id) return &t;
  return nullptr;
}

const DTypeInfo& info(DType t) noexcept {
  const DTypeInfo* p = find_dtype(static_cast<uint32_t>(t));
  MORAINE_CHECK(p != nullptr);
  return *p;
}

std::optional<DType> dtype_from_name(std::string_view name) noexcept {
  for (const DTypeInfo& t : kTypes) {
    std::string_view n = t.name;
    if (n.size() != name.size()) continue;
    bool same = true;
    for (size_t i = 0; i < n.size(); ++i)
      same = same && std::tolower(static_cast<unsigned char>(n[i])) ==
                         std::tolower(static_cast<unsigned char>(name[i]));
    if (same) return t.dtype;
  }
  return std::nullopt;
}

}  // namespace moraine
