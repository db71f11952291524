// dst[r] = softmax(scale * q[r] K^T) V over (pos - window, pos], by head. A workgroup for each query head of a
// row. Online softmax over blocks of 64 keys at absolute positions, 512 keys a partition; partitions merged
// ascending: here, or with kSplit by merge_partitions.comp, each computed by a workgroup of its own.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "kv.glsl"
#include "merge.glsl"
layout(constant_id = 3) const int kHeadDim = 128;
layout(constant_id = 4) const int kSplit = 0;
layout(push_constant) uniform Push {
  uint64_t q, dst, positions, sequence_of, sequences, pages;
  uint64_t k_offset, v_offset;
  uint64_t partials;  // kSplit: by row, head, partition from the row's first on: o [head_dim], m, l
  int stride, heads_per_kv, window, most_partitions;
  float scale;
};
const int kBlock = 64, kPartition = 512;
const int kOwn = (kHeadDim + kLanes - 1) / kLanes;  // dimensions of a lane

shared float query[kHeadDim];
shared float scores[kBlock], weights[kBlock], sums[8];
float o[kOwn], O[kOwn];

void main() {
  const int lane = lane_index();
  const uint row = gl_WorkGroupID.y, head = gl_WorkGroupID.x, kv_head = head / uint(heads_per_kv);
  const int pos = ConstInts(positions).v[row];
  const int lo = window > 0 ? max(0, pos - window + 1) : 0, hi = pos + 1;
  const int table = Sequences(sequences).v[ConstInts(sequence_of).v[row]].table;
  const uint64_t head_offset = uint64_t(head * uint(kHeadDim)) * 4ul;
  const float kNone = uintBitsToFloat(0xff800000u);  // -infinity
  const int first = lo / kPartition + (kSplit != 0 ? int(gl_WorkGroupID.z) : 0);
  const int last = kSplit != 0 ? min(first, pos / kPartition) : pos / kPartition;
  if (first > last) return;

  ConstFloats qs = ConstFloats(row_address(q, row, stride) + head_offset);
  for (int i = lane; i < kHeadDim; i += kLanes) {
    precise float scaled = qs.v[i] * scale;
    query[i] = scaled;
  }
  barrier();
  if (kFormatK == kKvQ4) {  // keys are rotated, so their queries are too
    for (int b = 32 * lane; b < kHeadDim; b += 32 * kLanes) {
      float x[32];
      for (int i = 0; i < 32; ++i) x[i] = query[b + i];
      rotate32(x);
      for (int i = 0; i < 32; ++i) query[b + i] = x[i];
    }
    barrier();
  }
  for (int i = 0; i < kOwn; ++i) O[i] = 0.0;
  float M = kNone, L = 0.0, m = kNone, l = 0.0;
  for (int part = first; part <= last; ++part) {
    m = kNone, l = 0.0;
    for (int i = 0; i < kOwn; ++i) o[i] = 0.0;
    const int end = min((part + 1) * kPartition, hi);
    for (int block = max(part * kPartition, lo / kBlock * kBlock); block < end; block += kBlock) {
      const int from = max(lo, block), to = min(end, block + kBlock);
      if (from >= to) continue;
      const uint64_t page = Addresses(pages).v[table + block / kPageTokens];
      const uint64_t k_head = page + k_offset + uint64_t(kv_head) * kv_head_bytes(kFormatK, kHeadDim);
      const uint64_t v_head = page + v_offset + uint64_t(kv_head) * kv_head_bytes(kFormatV, kHeadDim);
      for (int j = block + lane; j < block + kBlock; j += kLanes) {
        precise float s = kNone;
        if (j >= from && j < to) {
          s = 0.0;
          for (int i = 0; i < kHeadDim; ++i) s = fma(query[i], load_k(k_head, kHeadDim, j % kPageTokens, i), s);
        }
        scores[j - block] = s;
      }
      barrier();
      float top = m;
      for (int j = 0; j < kBlock; ++j) top = scores[j] > top ? scores[j] : top;
      top += 0.0;  // never -0
      for (int j = lane; j < kBlock; j += kLanes) {
        const bool seen = block + j >= from && block + j < to;
        weights[j] = seen ? exp_spec(scores[j] - top) : 0.0;
      }
      barrier();
      if (lane < 8) {
        precise float sum = 0.0;
        for (int j = lane; j < kBlock; j += 8) sum += weights[j];
        sums[lane] = sum;
      }
      const float correction = exp_spec(m - top);
      m = top;
      for (int i = 0; i < kOwn; ++i) {
        const int c = lane + i * kLanes;
        if (c >= kHeadDim) break;
        precise float sum = o[i] * correction;
        for (int j = from; j < to; ++j) sum = fma(weights[j - block], load_v(v_head, kHeadDim, j % kPageTokens, c), sum);
        o[i] = sum;
      }
      barrier();
      precise float sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
      precise float next = fma(l, correction, sum);
      l = next;
    }
    if (kSplit == 0 && l != 0.0) {  // else this query sees nothing of the partition
      const Weights w = merge_weights(M, m);
      M = w.top;
      L = merged(L, l, w);
      for (int i = 0; i < kOwn; ++i) O[i] = merged(O[i], o[i], w);
    }
  }
  if (kSplit != 0) {
    const uint at = (row * gl_NumWorkGroups.x + head) * uint(most_partitions) + gl_WorkGroupID.z;
    Floats to = Floats(row_address(partials, at, kHeadDim + 2));
    for (int i = 0; i < kOwn; ++i)
      if (lane + i * kLanes < kHeadDim) to.v[lane + i * kLanes] = o[i];
    if (lane == 0) to.v[kHeadDim] = m, to.v[kHeadDim + 1] = l;
    return;
  }
  Floats d = Floats(row_address(dst, row, stride) + head_offset);
  for (int i = 0; i < kOwn; ++i) {
    precise float y = O[i] / L;
    if (lane + i * kLanes < kHeadDim) d.v[lane + i * kLanes] = y;
  }
}
