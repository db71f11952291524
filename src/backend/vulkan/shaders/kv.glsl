// Where keys and values lie: pages of 256 positions, all layers; for each layer and KV head K is
// [256][head_dim], then V alike, in float16 or float32. tables[row] says where in `pages` (the device
// addresses of pages) the row's sequence begins.
layout(constant_id = 0) const int kFormatK = 0;  // 0: float16, 1: float32
layout(constant_id = 1) const int kFormatV = 0;
const int kPageTokens = 256;

// Four values from a multiple of four; head_dim is one.
vec4 kv_load4(int format, uint64_t head, int index) {
  return format == 0 ? vec4(Half4s(head).v[index / 4]) : ConstVec4s(head).v[index / 4];
}
void kv_store(int format, uint64_t head, int index, float x) {
  if (format == 0)
    Halves(head).v[index] = float16_t(x);
  else
    Floats(head).v[index] = x;
}
// Bytes of one head's keys or values in a page.
uint64_t kv_head_bytes(int format, int head_dim) { return uint64_t(kPageTokens * head_dim) * (format == 0 ? 2ul : 4ul); }
