// A row's values to int8: quantized.glsl. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "quantized.glsl"
layout(push_constant) uniform Push {
  uint64_t src, dst;
  int k, stride, width;  // width: 32 or 256
};
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Packed { uint v[]; };

shared float largest[16];  // |x| of each 16 values

void main() {
  const int first = int(gl_WorkGroupID.x) * 256, n_runs = min(16, (k - first) / 16);
  ConstFloats x = ConstFloats(row_address(src, gl_WorkGroupID.y, stride));
  const uint64_t row = dst + uint64_t(gl_WorkGroupID.y) * uint64_t(quantized_row_bytes(k, width));
  for (int run = lane_index(); run < n_runs; run += kLanes) {
    float most = 0.0;
    for (int i = 0; i < 16; ++i) {
      const float a = abs(x.v[first + 16 * run + i]);
      most = a > most ? a : most;
    }
    largest[run] = most;
  }
  barrier();
  for (int run = lane_index(); run < n_runs; run += kLanes) {
    const int n = width / 16, block = run / n * n;
    float most = 0.0;
    for (int i = 0; i < n; ++i) most = largest[block + i] > most ? largest[block + i] : most;
    precise float inverse = most > 0.0 ? 127.0 / most : 0.0;
    int sum = 0;
    for (int i = 0; i < 4; ++i) {
      uint word = 0u;
      for (int j = 0; j < 4; ++j) {
        precise float v = x.v[first + 16 * run + 4 * i + j] * inverse;
        v = v < 127.0 ? v : 127.0;  // a NaN becomes 127 too
        v = v > -127.0 ? v : -127.0;
        const int q = int(roundEven(v));
        sum += q;
        word |= uint(q & 255) << (8 * j);
      }
      Packed(row).v[first / 4 + 4 * run + i] = word;
    }
    Ints(sums_of(row, k)).v[first / 16 + run] = sum;
    if (run == block) {
      precise float d = most / 127.0;
      Floats(scales_of(row, k)).v[first / width + run / n] = d;
    }
  }
}
