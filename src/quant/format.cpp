// The table of formats.
#include "quant/format.h"

#include "quant/families.h"

namespace moraine::quant {
namespace {

constexpr const Format* kFormats[] = {
    &kF32,  &kF16,  &kBF16, &kQ4_0, &kQ4_1, &kQ5_0,   &kQ5_1,   &kQ8_0,
    &kQ2_K, &kQ3_K, &kQ4_K, &kQ5_K, &kQ6_K, &kIQ4_NL, &kIQ4_XS, &kMXFP4,
};

}  // namespace

const Format* find(DType t) noexcept {
  for (const Format* f : kFormats)
    if (f->dtype == t) return f;
  return nullptr;
}

}  // namespace moraine::quant
