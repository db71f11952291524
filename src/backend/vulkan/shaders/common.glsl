// What every shader shares: typed views of device addresses, exp, and a fixed reduction tree.
// Values are float32 rows of a stated stride; addresses come as push constants, never as descriptors.
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#extension GL_EXT_shader_16bit_storage : require

layout(buffer_reference, std430, buffer_reference_align = 4) buffer Floats { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer ConstFloats { float v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Vec4s { vec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer ConstVec4s { vec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer Ints { int v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Addresses { uint64_t v[]; };
layout(buffer_reference, std430, buffer_reference_align = 2) buffer Halves { float16_t v[]; };
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Half4s { f16vec4 v[]; };

// Row offsets are 64 bits wide: a value of many rows, or a weight, may pass 4 GiB.
uint64_t row_address(uint64_t base, uint row, int stride) { return base + uint64_t(row) * uint64_t(stride) * 4ul; }

// exp(x) to 2 ulp, 0 below -87.3: the operations of the CPU's exp_spec. A driver's exp() may be far
// less accurate (Vulkan allows 3 + 2|x| ulp).
float exp_spec(float x) {
  precise float n = roundEven(clamp(x, -87.33654, 88.37626) * 1.44269504088896341);
  precise float r = fma(n, -0.693359375, clamp(x, -87.33654, 88.37626));
  r = fma(n, 2.12194440e-4, r);
  precise float p = 1.9875691500e-4;
  p = fma(p, r, 1.3981999507e-3);
  p = fma(p, r, 8.3334519073e-3);
  p = fma(p, r, 4.1665795894e-2);
  p = fma(p, r, 1.6666665459e-1);
  p = fma(p, r, 5.0000001201e-1);
  p = fma(p, r * r, r) + 1.0;
  return x < -87.33654 ? 0.0 : p * uintBitsToFloat(uint(int(n) + 127) << 23);
}
