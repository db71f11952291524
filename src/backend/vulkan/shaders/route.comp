// The top_k largest of a row's logits, descending, of equals the lower index first, and their weights. A
// workgroup for each row: an expert's rank is the number of those that go before it.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
const int kMaxExperts = 1024;  // as record_moe.cpp checks
layout(push_constant) uniform Push {
  uint64_t logits, expert, weight;  // expert and weight: [rows][top_k]
  int n_experts, stride, top_k, normalise;
};

shared float key[kMaxExperts];  // the logit, or its exponential; what is no number goes last
shared int chosen[kMaxExperts];

void main() {
  ConstFloats x = ConstFloats(row_address(logits, gl_WorkGroupID.y, stride));
  for (int e = lane_index(); e < n_experts; e += kLanes) {
    const float v = x.v[e];
    const bool is_number = (floatBitsToUint(v) & 0x7fffffffu) <= 0x7f800000u;
    key[e] = is_number ? v : uintBitsToFloat(0xff800000u);
  }
  barrier();
  for (int e = lane_index(); e < n_experts; e += kLanes) {
    const float mine = key[e];
    int rank = 0;
    for (int other = 0; other < n_experts; ++other)
      if (key[other] > mine || (key[other] == mine && other < e)) ++rank;
    if (rank < top_k) chosen[rank] = e;
  }
  barrier();
  const float top = key[chosen[0]];
  precise float sum = 0.0;
  if (normalise != 0) {
    for (int j = 0; j < top_k; ++j) sum += exp_spec(key[chosen[j]] - top);
  } else {
    for (int e = 0; e < n_experts; ++e) sum += exp_spec(key[e] - top);
  }
  const int first = int(gl_WorkGroupID.y) * top_k;
  for (int j = lane_index(); j < top_k; j += kLanes) {
    precise float w = exp_spec(key[chosen[j]] - top) / sum;
    Ints(expert).v[first + j] = chosen[j];
    Floats(weight).v[first + j] = w;
  }
}
