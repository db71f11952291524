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
      const int block = (slot / 8 * n_blocks + b) * 272;
      const vec2 scales = q8_scales(ks, b);
      Halves(k_head).v[block / 2 + slot % 8] = uint16_t(to_half(scales.x));
      for (int i = 0; i < 32; ++i) Bytes(k_head).v[block + 16 + i * 8 + slot % 8] = q8_value(ks.v[32 * b + i], scales.y);
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
      const int block = (slot * n_blocks + b) * 34;
      const vec2 scales = q8_scales(vs, b);
      Halves(v_head).v[block / 2] = uint16_t(to_half(scales.x));
      for (int i = 0; i < 32; ++i) Bytes(v_head).v[block + 2 + i] = q8_value(vs.v[32 * b + i], scales.y);
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
