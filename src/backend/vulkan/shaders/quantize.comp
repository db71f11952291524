// A row's values to int8: quantized.glsl. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "quantize_chunk.glsl"
layout(push_constant) uniform Push {
  uint64_t src, dst;
  int k, stride, width;  // width: 32 or 256
};

void main() {
  const int first = int(gl_WorkGroupID.x) * 256, end = min(first + 256, k);
  ConstFloats row = ConstFloats(row_address(src, gl_WorkGroupID.y, stride));
  for (int i = first + lane_index(); i < end; i += kLanes) values[i - first] = row.v[i];
  quantize_chunk(dst + uint64_t(gl_WorkGroupID.y) * uint64_t(quantized_row_bytes(k, width)), k, width, first, end);
}
