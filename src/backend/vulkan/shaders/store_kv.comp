// Writes a row's k and v into its sequence's page at its position. A workgroup for each KV head of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "kv.glsl"
layout(local_size_x = 32) in;
layout(push_constant) uniform Push {
  uint64_t k, v, positions, tables, pages;
  uint64_t k_offset, v_offset;  // of the layer's first head, in a page
  int stride, head_dim;
};

void main() {
  const uint row = gl_WorkGroupID.y, head = gl_WorkGroupID.x;
  const int pos = Ints(positions).v[row];
  const uint64_t page = Addresses(pages).v[Ints(tables).v[row] + pos / kPageTokens];
  const uint64_t k_head = page + k_offset + uint64_t(head) * kv_head_bytes(kFormatK, head_dim);
  const uint64_t v_head = page + v_offset + uint64_t(head) * kv_head_bytes(kFormatV, head_dim);
  const uint64_t offset = uint64_t(head * uint(head_dim)) * 4ul;
  ConstFloats ks = ConstFloats(row_address(k, row, stride) + offset);
  ConstFloats vs = ConstFloats(row_address(v, row, stride) + offset);
  const int slot = pos % kPageTokens;
  for (int i = int(gl_LocalInvocationID.x); i < head_dim; i += 32) {
    kv_store(kFormatK, k_head, slot * head_dim + i, ks.v[i]);
    kv_store(kFormatV, v_head, slot * head_dim + i, vs.v[i]);
  }
}
