// x *= f(gate), value by value, or by one gate for the whole row; with kQuant also the int8 values that products
// read. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "quantize_chunk.glsl"
layout(constant_id = 1) const int kSilu = 0;   // 0: f is the sigmoid
layout(constant_id = 2) const int kQuant = 0;  // width of int8 blocks; 0: none
layout(constant_id = 3) const int kKeep = 1;   // whether x is written
layout(push_constant) uniform Push {
  uint64_t x, gate, quant;
  int width, stride, gate_stride;
  int each;  // 1: a gate for each value, 0: one for all
};

void main() {
  Floats to = Floats(row_address(x, gl_WorkGroupID.y, stride));
  ConstFloats g = ConstFloats(row_address(gate, gl_WorkGroupID.y, gate_stride));
  const int first = int(gl_WorkGroupID.x) * 256, end = min(width, first + 256);
  for (int i = first + lane_index(); i < end; i += kLanes) {
    const float by = g.v[each * i];
    precise float y = to.v[i] * (kSilu != 0 ? silu(by) : sigmoid(by));
    if (kKeep != 0) to.v[i] = y;
    if (kQuant != 0) values[i - first] = y;
  }
  if (kQuant == 0) return;
  const uint64_t row = quant + uint64_t(gl_WorkGroupID.y) * uint64_t(quantized_row_bytes(width, kQuant));
  quantize_chunk(row, width, kQuant, first, end);
}
