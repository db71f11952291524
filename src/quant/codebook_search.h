// The scale search behind packing IQ4_NL and IQ4_XS, whose quants are places in a table of 16 values
// (kIq4Values in layout.h). Where the bits go is the formats' business (iq4_nl.cpp, iq4_xs.cpp); formats
// with evenly spaced quants: scale_search.h.
#pragma once

#include <cstdint>

namespace moraine::quant {

constexpr int kCodebookSubLen = 32;
constexpr int kMaxCodebookSubs = 8;

// value = (d * scale[s]) * kIq4Values[code], with scale in [scale_min, scale_max].
struct CodebookShape {
  int n_sub;  // of 32 values
  int scale_min, scale_max;
};

struct CodebookBlock {
  uint16_t d;  // half
  int8_t scales[kMaxCodebookSubs];
  uint8_t codes[kMaxCodebookSubs * kCodebookSubLen];
};

// x: 32 n_sub values, any floats: NaN counts as 0; values beyond the formats' reach saturate.
// Deterministic: the same bytes on every machine.
void fit_codebook(const float* x, const CodebookShape& shape, CodebookBlock& out) noexcept;

}  // namespace moraine::quant
