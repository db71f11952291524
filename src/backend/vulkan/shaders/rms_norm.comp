// dst = x * (mean(x^2) + eps)^-1/2 * weight by group of values, a workgroup for each group of a row. With it goes
// what stands around a norm in most plans: before it x += y, or x += y normalised by a weight of its own; behind
// it the int8 values that products read. Sums are formed anew wherever they are read: what a lane writes to
// memory no other lane reads.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "norm.glsl"
#include "quantized.glsl"
layout(constant_id = 1) const int kAdd = 0;       // 1: y, 2: y normalised
layout(constant_id = 2) const int kQuant = 0;     // width of int8 blocks; 0: none. Then a group is the row
layout(constant_id = 3) const int kKeep = 1;      // whether dst is written
layout(push_constant) uniform Push {
  uint64_t x, y, y_weight;
  uint64_t dst, weight, quant;
  int group, stride;
  float y_eps, eps;
};
const int kMaxRuns = 1024;  // as kMaxQuantizedRow says

shared float largest[kMaxRuns];  // |dst| of each 16 values
ConstFloats xs, ys;
float y_scale;

// x after the sum.
float sum_at(int i) {
  precise float sum = xs.v[i];
  if (kAdd == 1) sum += ys.v[i];
  if (kAdd == 2) {
    precise float normalised = ys.v[i] * y_scale * ConstFloats(y_weight).v[i];
    sum += normalised;
  }
  return sum;
}

float normalised_at(int i, float scale) {
  precise float v = sum_at(i) * scale * ConstFloats(weight).v[i];
  return v;
}

void put(uint64_t offset, int i, float value) {
  if (kAdd != 0) Floats(row_address(x, gl_WorkGroupID.y, stride) + offset).v[i] = sum_at(i);
  if (kKeep != 0) Floats(row_address(dst, gl_WorkGroupID.y, stride) + offset).v[i] = value;
}

void main() {
  const uint64_t offset = uint64_t(gl_WorkGroupID.x) * uint64_t(group) * 4ul;
  xs = ConstFloats(row_address(x, gl_WorkGroupID.y, stride) + offset);
  ys = ConstFloats(row_address(y, gl_WorkGroupID.y, stride) + offset);
  if (kAdd == 2) {
    for (int p = lane_index(); p < 16; p += kLanes) {
      precise float sum = 0.0;
      for (int i = p; i < group; i += 16) sum = fma(ys.v[i], ys.v[i], sum);
      partial[p] = sum;
    }
    precise float scale = 1.0 / sqrt(sum_of_partials() / float(group) + y_eps);
    y_scale = scale;
    barrier();  // partial has been read
  }
  for (int p = lane_index(); p < 16; p += kLanes) {
    precise float sum = 0.0;
    for (int i = p; i < group; i += 16) {
      const float v = sum_at(i);
      sum = fma(v, v, sum);
    }
    partial[p] = sum;
  }
  precise float scale = 1.0 / sqrt(sum_of_partials() / float(group) + eps);
  if (kQuant == 0) {
    for (int i = lane_index(); i < group; i += kLanes) put(offset, i, normalised_at(i, scale));
    return;
  }
  float v[16];
  for (int run = lane_index(); run < group / 16; run += kLanes) {
    for (int i = 0; i < 16; ++i) v[i] = normalised_at(16 * run + i, scale);
    largest[run] = largest_of(v);
  }
  barrier();
  const uint64_t to = quant + uint64_t(gl_WorkGroupID.y) * uint64_t(quantized_row_bytes(group, kQuant));
  for (int run = lane_index(); run < group / 16; run += kLanes) {
    float most = 0.0;
    for (int i = 0; i < kQuant / 16; ++i) most = max(largest[run / (kQuant / 16) * (kQuant / 16) + i], most);
    for (int i = 0; i < 16; ++i) v[i] = normalised_at(16 * run + i, scale);
    for (int i = 0; i < 16; ++i) put(offset, 16 * run + i, v[i]);
    put_run(to, group, kQuant, run, v, most);
  }
}
