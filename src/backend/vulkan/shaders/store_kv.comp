// Writes a row's k and v into its sequence's page at its position. A workgroup for each KV head of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "kv.glsl"
layout(push_constant) uniform Push {
  uint64_t k, v, positions, sequence_of, sequences, pages;
  uint64_t k_offset, v_offset;  // of the layer's first head, in a page
  int stride, head_dim;
};

// Block b's scale and inverse scale: the file format's arithmetic.
vec2 q8_scales(ConstFloats x, int b) {
  float most = 0.0;
  for (int i = 0; i < 32; ++i) most = abs(x.v[32 * b + i]) > most ? abs(x.v[32 * b + i]) : most;
  precise vec2 scales = vec2(most / 127.0, most > 0.0 ? 127.0 / most : 0.0);
  return scales;
}
int8_t q8_value(float x, float inverse) {
  precise float v = x * inverse;
  v = v < 127.0 ? v : 127.0;
  v = v > -127.0 ? v : -127.0;
  return int8_t(int(roundEven(v)));
}

// As q8_scales: -8 stands for the value of largest magnitude, of two equal ones the negative; halves are rounded up.
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
// Butterflies over distances 1, 2, 4, 8, 16, then one factor.
void rotate(inout float x[32]) {
  for (int step = 1; step < 32; step *= 2)
    for (int i = 0; i < 32; ++i) {
      if ((i & step) != 0) continue;
      precise float sum = x[i] + x[i + step], difference = x[i] - x[i + step];
      x[i] = sum, x[i + step] = difference;
    }
  for (int i = 0; i < 32; ++i) {
    precise float scaled = x[i] * kHadamard32;
    x[i] = scaled;
  }
}

void main() {
  const uint row = gl_WorkGroupID.y, head = gl_WorkGroupID.x;
  const int pos = ConstInts(positions).v[row], slot = pos % kPageTokens, n_blocks = head_dim / 32;
  const int table = Sequences(sequences).v[ConstInts(sequence_of).v[row]].table;
  const uint64_t page = Addresses(pages).v[table + pos / kPageTokens];
  const uint64_t k_head = page + k_offset + uint64_t(head) * kv_head_bytes(kFormatK, head_dim);
  const uint64_t v_head = page + v_offset + uint64_t(head) * kv_head_bytes(kFormatV, head_dim);
  const uint64_t offset = uint64_t(head * uint(head_dim)) * 4ul;
  ConstFloats ks = ConstFloats(row_address(k, row, stride) + offset);
  ConstFloats vs = ConstFloats(row_address(v, row, stride) + offset);

  if (kFormatK == kKvQ8) {
    for (int b = lane_index(); b < n_blocks; b += kLanes) {
      const int block = k_block(head_dim, slot, b);
      const vec2 scales = q8_scales(ks, b);
      Halves(k_head).v[block / 2 + slot % 8] = uint16_t(to_half(scales.x));
      for (int i = 0; i < 32; ++i) Bytes(k_head).v[block + 16 + i * 8 + slot % 8] = q8_value(ks.v[32 * b + i], scales.y);
    }
  } else if (kFormatK == kKvQ4) {
    for (int b = lane_index(); b < n_blocks; b += kLanes) {
      float x[32];
      for (int i = 0; i < 32; ++i) x[i] = ks.v[32 * b + i];
      rotate(x);
      const int block = k_block(head_dim, slot, b);
      const vec2 scales = q4_scales(x);
      Halves(k_head).v[block / 2 + slot % 8] = uint16_t(to_half(scales.x));
      for (int i = 0; i < 16; ++i)
        Bytes(k_head).v[block + 16 + i * 8 + slot % 8] =
            int8_t(q4_nibble(x[2 * i], scales.y) | q4_nibble(x[2 * i + 1], scales.y) << 4);
    }
  } else {
    for (int i = lane_index(); i < head_dim; i += kLanes) {
      const int at = (slot / 8 * head_dim + i) * 8 + slot % 8;
      if (kFormatK == kKvF16)
        Halves(k_head).v[at] = uint16_t(to_half(ks.v[i]));
      else
        Floats(k_head).v[at] = ks.v[i];
    }
  }
  if (kFormatV == kKvQ8) {
    for (int b = lane_index(); b < n_blocks; b += kLanes) {
      const int block = v_block(head_dim, slot, b);
      const vec2 scales = q8_scales(vs, b);
      Halves(v_head).v[block / 2] = uint16_t(to_half(scales.x));
      for (int i = 0; i < 32; ++i) Bytes(v_head).v[block + 2 + i] = q8_value(vs.v[32 * b + i], scales.y);
    }
  } else if (kFormatV == kKvQ4) {
    for (int b = lane_index(); b < n_blocks; b += kLanes) {
      float x[32];
      for (int i = 0; i < 32; ++i) x[i] = vs.v[32 * b + i];
      const int block = v_block(head_dim, slot, b);
      const vec2 scales = q4_scales(x);
      Halves(v_head).v[block / 2] = uint16_t(to_half(scales.x));
      for (int i = 0; i < 16; ++i)
        Bytes(v_head).v[block + 2 + i] = int8_t(q4_nibble(x[i], scales.y) | q4_nibble(x[i + 16], scales.y) << 4);
    }
  } else {
    for (int i = lane_index(); i < head_dim; i += kLanes) {
      if (kFormatV == kKvF16)
        Halves(v_head).v[slot * head_dim + i] = uint16_t(to_half(vs.v[i]));
      else
        Floats(v_head).v[slot * head_dim + i] = vs.v[i];
    }
  }
}
