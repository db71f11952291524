// dst[r] = softmax(scale * q[r] K^T) V over (pos - window, pos], by head. A workgroup for each query
// head of a row. Online softmax over blocks of 64 keys at absolute positions, ascending, whatever else
// the step holds: a row's bits depend on its own position and keys alone.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "kv.glsl"
const int kBlock = 64;
const int kMaxHeadDim = 1024;  // as VulkanExecutable checks
layout(local_size_x = 64) in;
layout(push_constant) uniform Push {
  uint64_t q, dst, positions, tables, pages;
  uint64_t k_offset, v_offset;
  int stride, head_dim, heads_per_kv, window;
  float scale;
};

shared float query[kMaxHeadDim];
shared float outcome[kMaxHeadDim];
shared float scores[kBlock];
shared float weights[kBlock];  // exp(score - maximum)

void main() {
  const int lane = int(gl_LocalInvocationID.x);
  const uint row = gl_WorkGroupID.y, head = gl_WorkGroupID.x, kv_head = head / uint(heads_per_kv);
  const int pos = Ints(positions).v[row];
  const int first = window > 0 ? max(0, pos - window + 1) : 0;
  const int table = Ints(tables).v[row];
  const uint64_t head_offset = uint64_t(head * uint(head_dim)) * 4ul;
  ConstFloats qs = ConstFloats(row_address(q, row, stride) + head_offset);
  for (int i = lane; i < head_dim; i += kBlock) {
    query[i] = qs.v[i] * scale;
    outcome[i] = 0.0;
  }

  float m = uintBitsToFloat(0xff800000u);  // -infinity
  float l = 0.0;
  for (int block = first / kBlock * kBlock; block <= pos; block += kBlock) {
    const uint64_t page = Addresses(pages).v[table + block / kPageTokens];
    const uint64_t k_head = page + k_offset + uint64_t(kv_head) * kv_head_bytes(kFormatK, head_dim);
    const uint64_t v_head = page + v_offset + uint64_t(kv_head) * kv_head_bytes(kFormatV, head_dim);
    const int from = max(first, block), to = min(pos + 1, block + kBlock);
    barrier();  // the query is there; the last block's weights have been used
    const int key = block + lane;
    const bool seen = key >= from && key < to;
    float s = uintBitsToFloat(0xff800000u);
    if (seen) {
      s = 0.0;
      const int at = key % kPageTokens * head_dim;
      for (int i = 0; i < head_dim; ++i) s = fma(query[i], kv_load(kFormatK, k_head, at + i), s);
    }
    scores[lane] = s;
    barrier();
    // Every lane looks over the whole block by itself: cheaper than a tree's barriers.
    float top = m;
    for (int j = 0; j < kBlock; ++j) top = max(top, scores[j]);
    weights[lane] = seen ? exp_spec(s - top) : 0.0;
    barrier();
    float sum = 0.0;
    for (int j = 0; j < kBlock; ++j) sum += weights[j];
    const float correction = exp_spec(m - top);  // 0 at the first block
    l = fma(l, correction, sum);
    m = top;
    for (int i = lane; i < head_dim; i += kBlock) {
      float o = outcome[i] * correction;
      for (int j = from; j < to; ++j) o = fma(weights[j - block], kv_load(kFormatV, v_head, j % kPageTokens * head_dim + i), o);
      outcome[i] = o;
    }
  }
  Floats d = Floats(row_address(dst, row, stride) + head_offset);
  for (int i = lane; i < head_dim; i += kBlock) d.v[i] = outcome[i] / l;
}
