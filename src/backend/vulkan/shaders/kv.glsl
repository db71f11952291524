// Where keys and values lie: pages of 256 positions, as the CPU has them. Of one head:
//   K f16  [32][head_dim][8 keys]      V f16  [256][head_dim]
//   K q8_0 [32][head_dim / 32]{f16 d[8]; int8 q[32][8 keys]}
//   V q8_0 [256][head_dim / 32]{f16 d; int8 q[32]}
//   K q4_0 [32][head_dim / 32]{f16 d[8]; uint8 q[16][8 keys]}, of rotated keys, columns 2i and 2i + 1 in a byte
//   V q4_0 [256][head_dim / 32]{f16 d; uint8 q[16]}, columns i and i + 16 in a byte
// and f32 as f16 with four bytes. A sequence's table says where its pages' addresses begin in `pages`.
#extension GL_EXT_shader_8bit_storage : require
layout(buffer_reference, std430, buffer_reference_align = 1) buffer Bytes { int8_t v[]; };

layout(constant_id = 1) const int kFormatK = 0;  // KvType's values
layout(constant_id = 2) const int kFormatV = 0;
const int kKvF16 = 0, kKvQ8 = 1, kKvF32 = 2, kKvQ4 = 3;
const int kPageTokens = 256;
const float kHadamard32 = 0.17677669;  // 1 / sqrt(32)

// Of n values of a slot, a whole number of the format's blocks.
int kv_bytes(int format, int n) {
  switch (format) {
    case kKvF16: return 2 * n;
    case kKvQ8: return n / 32 * 34;
    case kKvQ4: return n / 32 * 18;
    default: return 4 * n;
  }
}
uint64_t kv_head_bytes(int format, int head_dim) { return uint64_t(kv_bytes(format, kPageTokens * head_dim)); }
// Where block b begins in a head: of keys that of eight slots, of values that of one.
int k_block(int head_dim, int slot, int b) { return 8 * kv_bytes(kFormatK, slot / 8 * head_dim + 32 * b); }
int v_block(int head_dim, int slot, int b) { return kv_bytes(kFormatV, slot * head_dim + 32 * b); }

uint byte_of(uint64_t head, int at) { return uint(int(Bytes(head).v[at])) & 255u; }
float q4_value(float d, uint nibble) {
  precise float least = -8.0 * d;
  precise float value = fma(float(nibble), d, least);
  return value;
}

// Butterflies over distances 1, 2, 4, 8, 16, then one factor.
void rotate32(inout float x[32]) {
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

// Value i of a slot's key; `head` is the address of the head's keys in a page.
float load_k(uint64_t head, int head_dim, int slot, int i) {
  const int at = (slot / 8 * head_dim + i) * 8 + slot % 8;
  if (kFormatK == kKvF16) return half_bits(uint(Halves(head).v[at]));
  if (kFormatK == kKvF32) return ConstFloats(head).v[at];
  const int block = k_block(head_dim, slot, i / 32);
  const float d = half_bits(uint(Halves(head).v[block / 2 + slot % 8]));
  if (kFormatK == kKvQ4) return q4_value(d, (byte_of(head, block + 16 + i % 32 / 2 * 8 + slot % 8) >> (i % 2 * 4)) & 15u);
  return d * float(int(Bytes(head).v[block + 16 + i % 32 * 8 + slot % 8]));
}
float load_v(uint64_t head, int head_dim, int slot, int i) {
  if (kFormatV == kKvF16) return half_bits(uint(Halves(head).v[slot * head_dim + i]));
  if (kFormatV == kKvF32) return ConstFloats(head).v[slot * head_dim + i];
  const int block = v_block(head_dim, slot, i / 32);
  const float d = half_bits(uint(Halves(head).v[block / 2]));
  if (kFormatV == kKvQ4) return q4_value(d, (byte_of(head, block + 2 + i % 16) >> (i % 32 / 16 * 4)) & 15u);
  return d * float(int(Bytes(head).v[block + 2 + i % 32]));
}
