// Where things lie inside a block: sizes, byte offsets, and the decoding of packed scales that
// kernels share with the scalar specification. What the values mean, and the float expressions,
// are in each family's .cpp (q4_k.cpp and so on).
//
// Kernel files include this header. They are compiled for one instruction set, so they must emit
// no weak symbols: the linker would keep one copy for all, and a machine without that instruction
// set would die in it. Hence no standard-library templates here, functions `static inline` in an
// anonymous namespace, and constants constexpr without `inline`.
#pragma once

#include <stdint.h>

namespace moraine::quant {

// Offsets and sizes in bytes, lengths in values. Multi-byte fields are little-endian.
namespace q4_0 {
constexpr int kBlockLen = 32;
constexpr int kBlockBytes = 18;
constexpr int kD = 0;       // half
constexpr int kQuants = 2;  // 16 bytes
}  // namespace q4_0

namespace q4_1 {
constexpr int kBlockLen = 32;
constexpr int kBlockBytes = 20;
constexpr int kD = 0;       // half
constexpr int kMin = 2;     // half
constexpr int kQuants = 4;  // 16 bytes
}  // namespace q4_1

namespace q5_0 {
constexpr int kBlockLen = 32;
constexpr int kBlockBytes = 22;
constexpr int kD = 0;         // half
constexpr int kHighBits = 2;  // 32 bits
constexpr int kQuants = 6;    // 16 bytes
}  // namespace q5_0

namespace q5_1 {
constexpr int kBlockLen = 32;
constexpr int kBlockBytes = 24;
constexpr int kD = 0;         // half
constexpr int kMin = 2;       // half
constexpr int kHighBits = 4;  // 32 bits
constexpr int kQuants = 8;    // 16 bytes
}  // namespace q5_1

namespace q8_0 {
constexpr int kBlockLen = 32;
constexpr int kBlockBytes = 34;
constexpr int kD = 0;       // half
constexpr int kQuants = 2;  // 32 int8
}  // namespace q8_0

namespace q2_k {
constexpr int kBlockLen = 256;
constexpr int kBlockBytes = 84;
constexpr int kSubBlocks = 16;
constexpr int kSubBlockLen = 16;
constexpr int kScales = 0;   // 16 bytes: low nibble scale, high nibble min
constexpr int kQuants = 16;  // 64 bytes
constexpr int kD = 80;       // half
constexpr int kDMin = 82;    // half
}  // namespace q2_k

namespace q3_k {
constexpr int kBlockLen = 256;
constexpr int kBlockBytes = 110;
constexpr int kSubBlocks = 16;
constexpr int kSubBlockLen = 16;
constexpr int kHighBits = 0;  // 32 bytes
constexpr int kQuants = 32;   // 64 bytes
constexpr int kScales = 96;   // 12 bytes
constexpr int kD = 108;       // half
}  // namespace q3_k

namespace q4_k {
constexpr int kBlockLen = 256;
constexpr int kBlockBytes = 144;
constexpr int kSubBlocks = 8;
constexpr int kSubBlockLen = 32;
constexpr int kD = 0;        // half
constexpr int kDMin = 2;     // half
constexpr int kScales = 4;   // 12 bytes: decode_scales_mins
constexpr int kQuants = 16;  // 128 bytes
}  // namespace q4_k

namespace q5_k {
constexpr int kBlockLen = 256;
constexpr int kBlockBytes = 176;
constexpr int kSubBlocks = 8;
constexpr int kSubBlockLen = 32;
constexpr int kD = 0;          // half
constexpr int kDMin = 2;       // half
constexpr int kScales = 4;     // 12 bytes: decode_scales_mins
constexpr int kHighBits = 16;  // 32 bytes
constexpr int kQuants = 48;    // 128 bytes
}  // namespace q5_k

namespace q6_k {
constexpr int kBlockLen = 256;
constexpr int kBlockBytes = 210;
constexpr int kSubBlocks = 16;
constexpr int kSubBlockLen = 16;
constexpr int kLowBits = 0;     // 128 bytes
constexpr int kHighBits = 128;  // 64 bytes
constexpr int kScales = 192;    // 16 int8
constexpr int kD = 208;         // half
}  // namespace q6_k

// The values that IQ4_NL's and IQ4_XS's four bits stand for: closer together around zero, where most
// weights lie.
constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

namespace iq4_nl {
constexpr int kBlockLen = 32;
constexpr int kBlockBytes = 18;
constexpr int kD = 0;       // half
constexpr int kQuants = 2;  // 16 bytes
}  // namespace iq4_nl

namespace iq4_xs {
constexpr int kBlockLen = 256;
constexpr int kBlockBytes = 136;
constexpr int kSubBlocks = 8;
constexpr int kSubBlockLen = 32;
constexpr int kD = 0;           // half
constexpr int kScalesHigh = 2;  // 2 bytes
constexpr int kScalesLow = 4;   // 4 bytes
constexpr int kQuants = 8;      // 128 bytes
}  // namespace iq4_xs

// OCP Microscaling Formats (MX) 1.0. E2M1's values are 0, 0.5, 1, 1.5, 2, 3, 4 and 6 with a sign: twice
// these are integers, and half the scale makes up for it exactly.
namespace mxfp4 {
constexpr int kBlockLen = 32;
constexpr int kBlockBytes = 17;
constexpr int kExponent = 0;  // E8M0
constexpr int kQuants = 1;    // 16 bytes
constexpr int8_t kTwiceValues[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
}  // namespace mxfp4

namespace {

// Byte by byte, so that alignment and the host's byte order do not matter; compilers make one
// load or store of it.
static inline uint16_t load_u16(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

static inline uint32_t load_u32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 | static_cast<uint32_t>(p[2]) << 16 |
         static_cast<uint32_t>(p[3]) << 24;
}

static inline void store_u16(uint8_t* p, uint16_t v) {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}

static inline void store_u32(uint8_t* p, uint32_t v) {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
  p[2] = static_cast<uint8_t>(v >> 16);
  p[3] = static_cast<uint8_t>(v >> 24);
}

// MXFP4: the bits of the float 2^(e - 128), half of the scale that the exponent e means. The two smallest
// are subnormal. The value 255, a NaN in the standard, is a scale as others are: so the files' makers read
// it.
static inline uint32_t half_e8m0_bits(uint8_t e) {
  return e < 2 ? uint32_t{0x00200000} << e : static_cast<uint32_t>(e - 1) << 23;
}

// Q3_K: the 12 bytes at kScales hold sixteen 6-bit scales plus 32.
//   bytes 0-7:  byte i: low nibble bits 0-3 of scale i, high nibble those of scale i + 8
//   bytes 8-11: bits 2t, 2t + 1 of byte 8 + i: bits 4-5 of scale 4t + i
// scale: -32 to 31.
static inline int q3_k_scale(const uint8_t* packed, int j) {
  const int low = packed[j % 8] >> (j / 8 * 4) & 15;
  const int high = packed[8 + j % 4] >> (j / 4 * 2) & 3;
  return (low | high << 4) - 32;
}

// Q4_K and Q5_K: the 12 bytes at kScales hold eight 6-bit scales and eight 6-bit mins.
//   bytes 0-3:  low 6 bits scale 0-3,       high 2 bits: bits 4-5 of scale 4-7
//   bytes 4-7:  low 6 bits min 0-3,         high 2 bits: bits 4-5 of min 4-7
//   bytes 8-11: low nibble bits 0-3 of scale 4-7, high nibble bits 0-3 of min 4-7
// Four lanes at a time; scales and mins each take 8 bytes, in the sub-blocks' order, 0 to 63.
static inline void decode_scales_mins(const uint8_t* packed, uint8_t* scales, uint8_t* mins) {
  const uint32_t a = load_u32(packed);
  const uint32_t b = load_u32(packed + 4);
  const uint32_t c = load_u32(packed + 8);
  store_u32(scales, a & 0x3f3f3f3f);
  store_u32(scales + 4, (c & 0x0f0f0f0f) | (a >> 2 & 0x30303030));
  store_u32(mins, b & 0x3f3f3f3f);
  store_u32(mins + 4, (c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030));
}

// The inverse: each scale and min must be 0 to 63.
static inline void encode_scales_mins(const uint8_t* scales, const uint8_t* mins, uint8_t* packed) {
  const uint32_t scales_hi = load_u32(scales + 4);
  const uint32_t mins_hi = load_u32(mins + 4);
  store_u32(packed, load_u32(scales) | (scales_hi & 0x30303030) << 2);
  store_u32(packed + 4, load_u32(mins) | (mins_hi & 0x30303030) << 2);
  store_u32(packed + 8, (scales_hi & 0x0f0f0f0f) | (mins_hi & 0x0f0f0f0f) << 4);
}

}  // namespace
}  // namespace moraine::quant
