// The partitions that attend.comp left apart, merged ascending; with kQuant also the int8 values that products
// read. A workgroup for each 256 values of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "merge.glsl"
#include "quantize_chunk.glsl"
layout(constant_id = 1) const int kHeadDim = 128;
layout(constant_id = 2) const int kQuant = 0;  // width of int8 blocks; 0: none
layout(constant_id = 3) const int kKeep = 1;   // whether dst is written
layout(push_constant) uniform Push {
  uint64_t partials, dst, quant, positions;
  int n_heads, window, most_partitions;
};
const int kPartition = 512;

float merged_at(int i, int n) {
  const uint head = gl_WorkGroupID.y * uint(n_heads) + uint(i / kHeadDim);
  const uint64_t parts = row_address(partials, head * uint(most_partitions), kHeadDim + 2);
  float M = uintBitsToFloat(0xff800000u), L = 0.0, O = 0.0;
  for (int p = 0; p < n; ++p) {
    ConstFloats part = ConstFloats(row_address(parts, uint(p), kHeadDim + 2));
    const float l = part.v[kHeadDim + 1];
    if (l == 0.0) continue;
    const Weights w = merge_weights(M, part.v[kHeadDim]);
    M = w.top;
    L = merged(L, l, w);
    O = merged(O, part.v[i % kHeadDim], w);
  }
  precise float y = O / L;
  return y;
}

void main() {
  const uint row = gl_WorkGroupID.y;
  const int pos = ConstInts(positions).v[row], width = n_heads * kHeadDim;
  const int lo = window > 0 ? max(0, pos - window + 1) : 0, n = pos / kPartition - lo / kPartition + 1;
  const int first = int(gl_WorkGroupID.x) * 256, end = min(first + 256, width);
  Floats d = Floats(row_address(dst, row, row_stride(width)));
  for (int i = first + lane_index(); i < end; i += kLanes) {
    const float y = merged_at(i, n);
    values[i - first] = y;
    if (kKeep != 0) d.v[i] = y;
  }
  if (kQuant == 0) return;
  quantize_chunk(quant + uint64_t(row) * uint64_t(quantized_row_bytes(width, kQuant)), width, kQuant, first, end);
}
