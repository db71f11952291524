// What every shader shares: typed views of device addresses, exp and half as the CPU computes them, and what
// a step says of its sequences. Values are float32 rows of a stated stride; addresses come as push constants,
// never as descriptors.
//
// The arithmetic is that of the CPU's scalar kernels (backend/cpu/kernels/scalar), operation by operation:
// every float operation is `precise` and so rounded once, sums have the order written there, and what lanes
// share they share through memory in a fixed order. So a result depends neither on the size of a workgroup
// (kLanes) nor on that of a subgroup.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_control_flow_attributes : require

layout(constant_id = 0) const int kLanes = 64;  // of a workgroup: 8, 32 or 64
layout(local_size_x_id = 0) in;

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer ConstFloats { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer ConstIvec4s { ivec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Ints { int v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer ConstInts { int v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Words { uint v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Addresses { uint64_t v[]; };
layout(buffer_reference, std430, buffer_reference_align = 2) buffer Halves { uint16_t v[]; };

// A sequence of a step; executable.h's SequenceInfo.
struct Sequence {
  int first, n;    // its rows in the step
  int n_sure;      // of these, the first ones: the others are tentative
  int table;       // where its pages begin in the list of pages
  int record;      // where its tentative rows are recorded
  int unused;
  uint64_t state;  // address
};
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Sequences { Sequence v[]; };

int lane_index() { return int(gl_LocalInvocationID.x); }

int row_stride(int width) { return (width + 15) / 16 * 16; }
// Row offsets are 64 bits wide: a value of many rows, or a weight, may pass 4 GiB.
uint64_t row_address(uint64_t base, uint row, int stride) { return base + uint64_t(row) * uint64_t(stride) * 4ul; }

// exp(x) to 2 ulp, 0 below -87.3. A driver's exp() may be far less accurate (Vulkan allows 3 + 2|x| ulp).
float exp_spec(float x) {
  const bool zero = x < -87.33654;
  x = x > -87.33654 ? x : -87.33654;
  x = x < 88.37626 ? x : 88.37626;
  precise float n = roundEven(x * 1.44269504088896341);
  precise float r = fma(n, -0.693359375, x);
  r = fma(n, 2.12194440e-4, r);
  precise float p = 1.9875691500e-4;
  p = fma(p, r, 1.3981999507e-3);
  p = fma(p, r, 8.3334519073e-3);
  p = fma(p, r, 4.1665795894e-2);
  p = fma(p, r, 1.6666665459e-1);
  p = fma(p, r, 5.0000001201e-1);
  precise float squared = r * r;
  p = fma(p, squared, r) + 1.0;
  precise float result = p * uintBitsToFloat(uint(int(n) + 127) << 23);
  return zero ? 0.0 : result;
}

float sigmoid(float x) {
  precise float y = 1.0 / (1.0 + exp_spec(-x));
  return y;
}
float silu(float x) {
  precise float y = x / (1.0 + exp_spec(-x));
  return y;
}
// gelu(g) = 0.5 g (1 + tanh(sqrt(2/pi) (g + 0.044715 g^3))) = g / (1 + exp(-2 sqrt(2/pi) (...)))
float gelu_tanh(float g) {
  precise float squared = g * g;
  precise float inner = g * fma(0.0713548163, squared, 1.5957691216);
  precise float y = g / (1.0 + exp_spec(-inner));
  return y;
}

// A half's 16 bits; exact.
float half_bits(uint h) { return unpackHalf2x16(h).x; }

// To the nearest half, ties to even: what a driver's conversion does is its own choice.
uint to_half(float f) {
  uint x = floatBitsToUint(f);
  const uint sign = (x >> 16) & 0x8000u;
  x &= 0x7fffffffu;
  if (x > 0x7f800000u) return sign | 0x7e00u | ((x >> 13) & 0x3ffu);
  if (x >= 0x477ff000u) return sign | 0x7c00u;
  if (x < 0x38800000u) return sign | uint(roundEven(uintBitsToFloat(x) * 16777216.0));
  return sign | ((x - 0x38000000u + 0xfffu + ((x >> 13) & 1u)) >> 13);
}
