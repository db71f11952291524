// Where keys and values lie: pages of 256 positions, as the CPU has them. Of one head:
//   K f16  [32][head_dim][8 keys]      K q8_0 [32][head_dim / 32]{f16 d[8]; int8 q[32][8 keys]}
//   V f16  [256][head_dim]             V q8_0 [256][head_dim / 32]{f16 d; int8 q[32]}
// and f32 as f16 with four bytes. A sequence's table says where its pages' addresses begin in `pages`.
#extension GL_EXT_shader_8bit_storage : require
layout(buffer_reference, std430, buffer_reference_align = 1) buffer Bytes { int8_t v[]; };

layout(constant_id = 1) const int kFormatK = 0;  // 0: f16, 1: q8_0, 2: f32; KvType's values
layout(constant_id = 2) const int kFormatV = 0;
const int kKvF16 = 0, kKvQ8 = 1, kKvF32 = 2;
const int kPageTokens = 256;

uint64_t kv_head_bytes(int format, int head_dim) {
  const int n = kPageTokens * head_dim;
  return uint64_t(format == kKvF16 ? 2 * n : format == kKvQ8 ? n / 32 * 34 : 4 * n);
}

// Value i of a slot's key; `head` is the address of the head's keys in a page.
float load_k(uint64_t head, int head_dim, int slot, int i) {
  const int at = (slot / 8 * head_dim + i) * 8 + slot % 8;
  if (kFormatK == kKvF16) return half_bits(uint(Halves(head).v[at]));
  if (kFormatK == kKvF32) return ConstFloats(head).v[at];
  const int block = (slot / 8 * (head_dim / 32) + i / 32) * 272;
  return half_bits(uint(Halves(head).v[block / 2 + slot % 8])) * float(int(Bytes(head).v[block + 16 + i % 32 * 8 + slot % 8]));
}
float load_v(uint64_t head, int head_dim, int slot, int i) {
  if (kFormatV == kKvF16) return half_bits(uint(Halves(head).v[slot * head_dim + i]));
  if (kFormatV == kKvF32) return ConstFloats(head).v[slot * head_dim + i];
  const int block = (slot * (head_dim / 32) + i / 32) * 34;
  return half_bits(uint(Halves(head).v[block / 2])) * float(int(Bytes(head).v[block + 2 + i % 32]));
}
