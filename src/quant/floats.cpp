// F32, F16, BF16: a block is one little-endian number. Conversions and their rounding: half.h.
#include "quant/families.h"
#include "quant/half.h"
#include "quant/layout.h"

namespace moraine::quant {
namespace {

void unpack_f32(const uint8_t* src, size_t n, float* dst) noexcept {
  for (size_t i = 0; i < n; ++i) dst[i] = float_from_bits(load_u32(src + 4 * i));
}

void pack_f32(const float* src, size_t n, uint8_t* dst) noexcept {
  for (size_t i = 0; i < n; ++i) store_u32(dst + 4 * i, float_bits(src[i]));
}

void unpack_f16(const uint8_t* src, size_t n, float* dst) noexcept {
  for (size_t i = 0; i < n; ++i) dst[i] = half_to_float(load_u16(src + 2 * i));
}

void pack_f16(const float* src, size_t n, uint8_t* dst) noexcept {
  for (size_t i = 0; i < n; ++i) store_u16(dst + 2 * i, float_to_half(src[i]));
}

void unpack_bf16(const uint8_t* src, size_t n, float* dst) noexcept {
  for (size_t i = 0; i < n; ++i) dst[i] = bf16_to_float(load_u16(src + 2 * i));
}

void pack_bf16(const float* src, size_t n, uint8_t* dst) noexcept {
  for (size_t i = 0; i < n; ++i) store_u16(dst + 2 * i, float_to_bf16(src[i]));
}

}  // namespace

constinit const Format kF32{DType::kF32, unpack_f32, pack_f32};
constinit const Format kF16{DType::kF16, unpack_f16, pack_f16};
constinit const Format kBF16{DType::kBF16, unpack_bf16, pack_bf16};

}  // namespace moraine::quant
