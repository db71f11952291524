// dst[r] = softmax(scale * q[r] K^T) V over (pos - window, pos], by head. A workgroup for each query
// head of a row. Online softmax over blocks of 64 keys at absolute positions, ascending, whatever else
// the step holds: a row's bits depend on its own position and keys alone.
#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#include "common.glsl"
#include "kv.glsl"
const int kBlock = 64;
const int kMaxHeadDim = 1024;  // as record.cpp checks
layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  uint64_t q, dst, positions, tables, pages;
  uint64_t k_offset, v_offset;
  int stride, head_dim, heads_per_kv, window;
  float scale;
};

shared vec4 query[kMaxHeadDim / 4];
shared vec4 outcome[kMaxHeadDim / 4];  // not yet divided by the sum of weights
shared float weights[kBlock];          // exp(score - maximum) of the block's keys
shared float tops[kBlock], sums[kBlock];  // by subgroup

void main() {
  const int lane = int(gl_LocalInvocationID.x);
  const uint row = gl_WorkGroupID.y, head = gl_WorkGroupID.x, kv_head = head / uint(heads_per_kv);
  const int pos = Ints(positions).v[row];
  const int first = window > 0 ? max(0, pos - window + 1) : 0;
  const int table = Ints(tables).v[row];
  const int n4 = head_dim / 4;
  const uint64_t head_offset = uint64_t(head * uint(head_dim)) * 4ul;
  ConstVec4s qs = ConstVec4s(row_address(q, row, stride) + head_offset);
  for (int i = lane; i < n4; i += kBlock) {
    query[i] = qs.v[i] * scale;
    outcome[i] = vec4(0.0);
  }

  const float kNone = uintBitsToFloat(0xff800000u);  // -infinity
  float m = kNone, l = 0.0;
  for (int block = first / kBlock * kBlock; block <= pos; block += kBlock) {
    const uint64_t page = Addresses(pages).v[table + block / kPageTokens];
    const uint64_t k_head = page + k_offset + uint64_t(kv_head) * kv_head_bytes(kFormatK, head_dim);
    const uint64_t v_head = page + v_offset + uint64_t(kv_head) * kv_head_bytes(kFormatV, head_dim);
    const int from = max(first, block), to = min(pos + 1, block + kBlock);
    barrier();  // the query is there; the last block's weights have been used
    const int key = block + lane;
    const bool seen = key >= from && key < to;
    float score = kNone;
    if (seen) {
      vec4 s = vec4(0.0);
      for (int i = 0; i < n4; ++i)
        s = fma(query[i], kv_load4(kFormatK, k_head, key % kPageTokens * head_dim + 4 * i), s);
      score = (s.x + s.y) + (s.z + s.w);
    }
    const float subgroup_top = subgroupMax(score);
    if (subgroupElect()) tops[gl_SubgroupID] = subgroup_top;
    barrier();
    float top = m;
    for (int i = 0; i < int(gl_NumSubgroups); ++i) top = max(top, tops[i]);
    const float weight = seen ? exp_spec(score - top) : 0.0;
    weights[lane] = weight;
    const float subgroup_sum = subgroupAdd(weight);
    if (subgroupElect()) sums[gl_SubgroupID] = subgroup_sum;
    barrier();
    float sum = 0.0;
    for (int i = 0; i < int(gl_NumSubgroups); ++i) sum += sums[i];
    const float correction = exp_spec(m - top);  // 0 at the first block
    l = fma(l, correction, sum);
    m = top;
    for (int i = lane; i < n4; i += kBlock) {
      vec4 o = outcome[i] * correction;
      for (int j = from; j < to; ++j)
        o = fma(vec4(weights[j - block]), kv_load4(kFormatV, v_head, j % kPageTokens * head_dim + 4 * i), o);
      outcome[i] = o;
    }
  }
  Vec4s d = Vec4s(row_address(dst, row, stride) + head_offset);
  for (int i = lane; i < n4; i += kBlock) d.v[i] = outcome[i] / l;
}
