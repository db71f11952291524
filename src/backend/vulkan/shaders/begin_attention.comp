// What attention begins with: a row's query and key heads normalised and rotated where the plan has it so, queries
// written, keys and values stored in their sequence's page at the row's position. A workgroup for each query
// head of a row (none where queries stay as they are) and then for each KV head.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "kv.glsl"
#include "norm.glsl"
#include "rotate.glsl"
layout(constant_id = 3) const int kHeadDim = 128;
layout(constant_id = 4) const int kAdjacent = 0;  // as rotate_pair's
layout(push_constant) uniform Push {
  uint64_t q, k, v, rotated;    // rotated: where queries go, perhaps q
  uint64_t q_norm, k_norm;      // weights [head_dim]; 0: as they are
  uint64_t q_angles, k_angles;  // [row][2][n_pairs]: rotate.glsl
  uint64_t positions, sequence_of, sequences, pages;
  uint64_t k_offset, v_offset;  // of the layer's first head, in a page
  int n_heads, n_pairs;         // n_heads: of queries that are changed
  float eps;
};

shared float head[kHeadDim];

// A block's scale and inverse scale: the file format's arithmetic.
vec2 q8_scales(float x[32]) {
  float most = 0.0;
  for (int i = 0; i < 32; ++i) most = abs(x[i]) > most ? abs(x[i]) : most;
  precise vec2 scales = vec2(most / 127.0, most > 0.0 ? 127.0 / most : 0.0);
  return scales;
}
int8_t q8_value(float x, float inverse) {
  precise float v = x * inverse;
  v = v < 127.0 ? v : 127.0;
  v = v > -127.0 ? v : -127.0;
  return int8_t(int(roundEven(v)));
}

// As q8_scales: -8 stands for the value of largest magnitude, of two equal ones the negative; halves are rounded
// up.
vec2 q4_scales(float x[32]) {
  float top = 0.0, bottom = 0.0;
  for (int i = 0; i < 32; ++i) {
    top = x[i] > top ? x[i] : top;
    bottom = x[i] < bottom ? x[i] : bottom;
  }
  const float extreme = top > -bottom ? top : bottom;
  precise vec2 scales = vec2(extreme / -8.0, extreme != 0.0 ? -8.0 / extreme : 0.0);
  return scales;
}
uint q4_nibble(float x, float inverse) {
  precise float product = x * inverse;
  precise float v = product + 8.5;
  v = v < 15.0 ? v : 15.0;
  v = v > 0.0 ? v : 0.0;
  return uint(v);
}
void store_key(uint64_t to, int slot) {
  if (kFormatK == kKvF16 || kFormatK == kKvF32) {
    for (int i = lane_index(); i < kHeadDim; i += kLanes) {
      const int at = (slot / 8 * kHeadDim + i) * 8 + slot % 8;
      if (kFormatK == kKvF16)
        Halves(to).v[at] = uint16_t(to_half(head[i]));
      else
        Floats(to).v[at] = head[i];
    }
    return;
  }
  for (int b = lane_index(); b < kHeadDim / 32; b += kLanes) {
    float x[32];
    for (int i = 0; i < 32; ++i) x[i] = head[32 * b + i];
    if (kFormatK == kKvQ4) rotate32(x);
    const int block = k_block(kHeadDim, slot, b);
    const vec2 scales = kFormatK == kKvQ4 ? q4_scales(x) : q8_scales(x);
    Halves(to).v[block / 2 + slot % 8] = uint16_t(to_half(scales.x));
    if (kFormatK == kKvQ4) {
      for (int i = 0; i < 16; ++i)
        Bytes(to).v[block + 16 + i * 8 + slot % 8] =
            int8_t(q4_nibble(x[2 * i], scales.y) | q4_nibble(x[2 * i + 1], scales.y) << 4);
    } else {
      for (int i = 0; i < 32; ++i) Bytes(to).v[block + 16 + i * 8 + slot % 8] = q8_value(x[i], scales.y);
    }
  }
}

void store_value(uint64_t to, int slot, ConstFloats from) {
  if (kFormatV == kKvF16 || kFormatV == kKvF32) {
    for (int i = lane_index(); i < kHeadDim; i += kLanes) {
      if (kFormatV == kKvF16)
        Halves(to).v[slot * kHeadDim + i] = uint16_t(to_half(from.v[i]));
      else
        Floats(to).v[slot * kHeadDim + i] = from.v[i];
    }
    return;
  }
  for (int b = lane_index(); b < kHeadDim / 32; b += kLanes) {
    float x[32];
    for (int i = 0; i < 32; ++i) x[i] = from.v[32 * b + i];
    const int block = v_block(kHeadDim, slot, b);
    const vec2 scales = kFormatV == kKvQ4 ? q4_scales(x) : q8_scales(x);
    Halves(to).v[block / 2] = uint16_t(to_half(scales.x));
    if (kFormatV == kKvQ4) {
      for (int i = 0; i < 16; ++i)
        Bytes(to).v[block + 2 + i] = int8_t(q4_nibble(x[i], scales.y) | q4_nibble(x[i + 16], scales.y) << 4);
    } else {
      for (int i = 0; i < 32; ++i) Bytes(to).v[block + 2 + i] = q8_value(x[i], scales.y);
    }
  }
}

void normalise(uint64_t weight) {
  for (int p = lane_index(); p < 16; p += kLanes) {
    precise float sum = 0.0;
    for (int i = p; i < kHeadDim; i += 16) sum = fma(head[i], head[i], sum);
    partial[p] = sum;
  }
  precise float scale = 1.0 / sqrt(sum_of_partials() / float(kHeadDim) + eps);
  for (int i = lane_index(); i < kHeadDim; i += kLanes) {
    precise float v = head[i] * scale * ConstFloats(weight).v[i];
    head[i] = v;
  }
  barrier();
}

void main() {
  const uint row = gl_WorkGroupID.y;
  const bool is_query = int(gl_WorkGroupID.x) < n_heads;
  const int n = is_query ? n_heads : int(gl_NumWorkGroups.x) - n_heads;  // heads of this kind
  const uint h = is_query ? gl_WorkGroupID.x : gl_WorkGroupID.x - uint(n_heads);
  const int stride = row_stride(n * kHeadDim);
  const uint64_t offset = uint64_t(h * uint(kHeadDim)) * 4ul;
  ConstFloats from = ConstFloats(row_address(is_query ? q : k, row, stride) + offset);
  for (int i = lane_index(); i < kHeadDim; i += kLanes) head[i] = from.v[i];
  barrier();
  const uint64_t weight = is_query ? q_norm : k_norm;
  if (weight != 0ul) normalise(weight);
  if (n_pairs > 0) {
    const uint64_t angles = row_address(is_query ? q_angles : k_angles, row, 2 * n_pairs);
    for (int i = lane_index(); i < n_pairs; i += kLanes) {
      const ivec2 pair = pair_at(i, n_pairs, kAdjacent);
      const vec2 turned = rotate_pair(vec2(head[pair.x], head[pair.y]), angles, i, n_pairs);
      head[pair.x] = turned.x, head[pair.y] = turned.y;
    }
    barrier();
  }
  if (is_query) {
    Floats to = Floats(row_address(rotated, row, stride) + offset);
    for (int i = lane_index(); i < kHeadDim; i += kLanes) to.v[i] = head[i];
    return;
  }
  const int pos = ConstInts(positions).v[row];
  const int table = Sequences(sequences).v[ConstInts(sequence_of).v[row]].table;
  const uint64_t page = Addresses(pages).v[table + pos / kPageTokens];
  store_key(page + k_offset + uint64_t(h) * kv_head_bytes(kFormatK, kHeadDim), pos % kPageTokens);
  store_value(page + v_offset + uint64_t(h) * kv_head_bytes(kFormatV, kHeadDim), pos % kPageTokens,
              ConstFloats(row_address(v, row, stride) + offset));
}
