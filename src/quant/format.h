// The registry of element formats: for each DType, how bytes become floats and floats bytes. The
// scalar functions here are the formats' specification; kernels are tested against them.
// Sizes and names of formats: tensor/dtype.h. Byte offsets for kernels: layout.h.
// Each family's bytes and expressions: q4_0.cpp, q4_k.cpp and so on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace moraine::quant {

struct Format {
  DType dtype;

  // src: n_blocks * info(dtype).block_bytes bytes, any alignment, any content (every bit pattern is
  // a valid block; infinite or NaN scales give infinite or NaN values).
  // dst: n_blocks * info(dtype).block_len floats. Equal to the Python package gguf's dequantize bit
  // for bit, but for which NaN a NaN is.
  void (*unpack_blocks)(const uint8_t* src, size_t n_blocks, float* dst) noexcept;

  // The reverse. F32, F16, BF16, MXFP4 and the 32-wide Q formats give the bytes of the Python package
  // gguf's quantize; the K and IQ4 formats search scales that minimise the squared error (scale_search.h,
  // codebook_search.h).
  // Block formats have no NaN or infinity: NaN is packed as 0, an infinity as the largest float of
  // its sign. Values beyond a half scale's reach (about 65504 times the largest quant) give an
  // infinite scale in the 32-wide Q formats, and saturate in the K and IQ4 formats.
  void (*pack_blocks)(const float* src, size_t n_blocks, uint8_t* dst) noexcept;
};

// nullptr where the type has no float meaning here (integers) or is not one this build unpacks.
const Format* find(DType t) noexcept;

}  // namespace moraine::quant
