// Attention over paged KV, one value at a time: the specification of every attend kernel.
//
// Page layouts of one head (256 slots): K f16 [32 groups][head_dim][8 keys]; K q8_0 [32][head_dim/32]
// {f16 d[8]; int8 q[32][8]}; V f16 [256][head_dim]; V q8_0 [256][head_dim/32]{f16 d; int8 q[32]};
// f32 as f16 with four bytes. q4_0: nibbles n in 0..15 that mean n d - 8 d; K [32][head_dim/32]{f16 d[8];
// uint8 q[16][8]} of rotated keys, a byte's low nibble column 2i and its high one 2i + 1; V
// [256][head_dim/32]{f16 d; uint8 q[16]}, low column i and high i + 16.
#include "backend/cpu/kernels/scalar/kernels.h"
#include "backend/cpu/kernels/scalar/math.h"

namespace moraine::cpu {
namespace {

constexpr int kPageTokens = 256;

void put_half(uint8_t* p, float f) {
  const uint16_t h = float_to_half(f);
  memcpy(p, &h, 2);
}

struct KF16 {
  static void store(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
    for (int32_t i = 0; i < hd; ++i) put_half(page + ((slot / 8 * hd + i) * 8 + slot % 8) * 2, x[i]);
  }
  static float get(const uint8_t* page, int32_t hd, int slot, int i) {
    return load_half(page + ((slot / 8 * hd + i) * 8 + slot % 8) * 2);
  }
};

struct VF16 {
  static void store(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
    for (int32_t i = 0; i < hd; ++i) put_half(page + (slot * hd + i) * 2, x[i]);
  }
  static float get(const uint8_t* page, int32_t hd, int slot, int i) {
    return load_half(page + (slot * hd + i) * 2);
  }
};

struct KF32 {
  static void store(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
    for (int32_t i = 0; i < hd; ++i) memcpy(page + ((slot / 8 * hd + i) * 8 + slot % 8) * 4, x + i, 4);
  }
  static float get(const uint8_t* page, int32_t hd, int slot, int i) {
    float f;
    memcpy(&f, page + ((slot / 8 * hd + i) * 8 + slot % 8) * 4, 4);
    return f;
  }
};

struct VF32 {
  static void store(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
    memcpy(page + int64_t{slot} * hd * 4, x, hd * 4);
  }
  static float get(const uint8_t* page, int32_t hd, int slot, int i) {
    float f;
    memcpy(&f, page + (int64_t{slot} * hd + i) * 4, 4);
    return f;
  }
};

// 32 values to q8_0: the file format's arithmetic (d = max/127 stored as f16, q = rne(x * 127/max)).
void q8_block(const float* x, uint16_t* d, int8_t q[32]) {
  float amax = 0.0f;
  for (int i = 0; i < 32; ++i) amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
  *d = float_to_half(amax / 127.0f);
  const float id = amax > 0.0f ? 127.0f / amax : 0.0f;
  for (int i = 0; i < 32; ++i) {
    float v = x[i] * id;
    v = v < 127.0f ? v : 127.0f;
    v = v > -127.0f ? v : -127.0f;
    q[i] = static_cast<int8_t>(nearbyintf(v));
  }
}

struct KQ8_0 {
  static uint8_t* block(uint8_t* page, int32_t hd, int slot, int b) {
    return page + (slot / 8 * (hd / 32) + b) * 272;
  }
  static void store(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
    for (int32_t b = 0; b < hd / 32; ++b) {
      uint16_t d;
      int8_t q[32];
      q8_block(x + 32 * b, &d, q);
      uint8_t* p = block(page, hd, slot, b);
      memcpy(p + 2 * (slot % 8), &d, 2);
      for (int i = 0; i < 32; ++i) p[16 + i * 8 + slot % 8] = static_cast<uint8_t>(q[i]);
    }
  }
  static float get(const uint8_t* page, int32_t hd, int slot, int i) {
    const uint8_t* p = block(const_cast<uint8_t*>(page), hd, slot, i / 32);
    return load_half(p + 2 * (slot % 8)) *
           static_cast<float>(static_cast<int8_t>(p[16 + i % 32 * 8 + slot % 8]));
  }
};

struct VQ8_0 {
  static void store(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
    for (int32_t b = 0; b < hd / 32; ++b) {
      uint8_t* p = page + (slot * (hd / 32) + b) * 34;
      uint16_t d;
      int8_t q[32];
      q8_block(x + 32 * b, &d, q);
      memcpy(p, &d, 2);
      memcpy(p + 2, q, 32);
    }
  }
  static float get(const uint8_t* page, int32_t hd, int slot, int i) {
    const uint8_t* p = page + (slot * (hd / 32) + i / 32) * 34;
    return load_half(p) * static_cast<float>(static_cast<int8_t>(p[2 + i % 32]));
  }
};

// 32 values to q4_0: -8 stands for the one of largest magnitude, of two equal ones the negative; halves are
// rounded up, and +8 becomes 7.
void q4_block(const float* x, uint16_t* d, uint8_t q[32]) {
  float top = 0.0f, bottom = 0.0f;
  for (int i = 0; i < 32; ++i) {
    top = x[i] > top ? x[i] : top;
    bottom = x[i] < bottom ? x[i] : bottom;
  }
  const float extreme = top > -bottom ? top : bottom;
  *d = float_to_half(extreme / -8.0f);
  const float id = extreme != 0.0f ? -8.0f / extreme : 0.0f;
  for (int i = 0; i < 32; ++i) {
    float v = x[i] * id + 8.5f;  // two roundings
    v = v < 15.0f ? v : 15.0f;
    v = v > 0.0f ? v : 0.0f;
    q[i] = static_cast<uint8_t>(v);
  }
}

// Butterflies over distances 1, 2, 4, 8, 16, then one factor.
void rotate32(float* x, int32_t n) noexcept {
  for (float* end = x + n; x < end; x += 32) {
    for (int step = 1; step < 32; step *= 2)
      for (int i = 0; i < 32; ++i) {
        if (i & step) continue;
        const float a = x[i], b = x[i + step];
        x[i] = a + b;
        x[i + step] = a - b;
      }
    for (int i = 0; i < 32; ++i) x[i] *= kHadamard32;
  }
}

float q4_value(const uint8_t* d, int nibble) {
  return fmaf(static_cast<float>(nibble), load_half(d), -8.0f * load_half(d));
}

struct KQ4_0 {
  static uint8_t* block(uint8_t* page, int32_t hd, int slot, int b) {
    return page + (slot / 8 * (hd / 32) + b) * 144;
  }
  static void store(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
    for (int32_t b = 0; b < hd / 32; ++b) {
      uint16_t d;
      uint8_t q[32];
      float rotated[32];
      memcpy(rotated, x + 32 * b, sizeof rotated);
      rotate32(rotated, 32);
      q4_block(rotated, &d, q);
      uint8_t* p = block(page, hd, slot, b);
      memcpy(p + 2 * (slot % 8), &d, 2);
      for (int i = 0; i < 16; ++i)
        p[16 + i * 8 + slot % 8] = static_cast<uint8_t>(q[2 * i] | q[2 * i + 1] << 4);
    }
  }
  static float get(const uint8_t* page, int32_t hd, int slot, int i) {
    const uint8_t* p = block(const_cast<uint8_t*>(page), hd, slot, i / 32);
    const int byte = p[16 + i % 32 / 2 * 8 + slot % 8];
    return q4_value(p + 2 * (slot % 8), i % 2 ? byte >> 4 : byte & 15);
  }
};

struct VQ4_0 {
  static void store(const float* x, int32_t hd, int32_t slot, uint8_t* page) noexcept {
    for (int32_t b = 0; b < hd / 32; ++b) {
      uint8_t* p = page + (slot * (hd / 32) + b) * 18;
      uint16_t d;
      uint8_t q[32];
      q4_block(x + 32 * b, &d, q);
      memcpy(p, &d, 2);
      for (int i = 0; i < 16; ++i) p[2 + i] = static_cast<uint8_t>(q[i] | q[i + 16] << 4);
    }
  }
  static float get(const uint8_t* page, int32_t hd, int slot, int i) {
    const uint8_t* p = page + (slot * (hd / 32) + i / 32) * 18;
    const int byte = p[2 + i % 16];
    return q4_value(p, i % 32 >= 16 ? byte >> 4 : byte & 15);
  }
};

template <class K, class V>
void attend(const AttendArgs& a) noexcept {
  for (int i = 0; i < a.n_q; ++i)
    for (int32_t block = a.begin; block < a.end; block += kKvBlock) {
      const int32_t from = a.lo[i] > block ? a.lo[i] : block;
      int32_t to = a.hi[i] < a.end ? a.hi[i] : a.end;
      to = to < block + kKvBlock ? to : block + kKvBlock;
      if (from >= to) continue;  // nothing of this block is seen
      const uint8_t* kp = a.k_pages[block / kPageTokens - a.begin / kPageTokens];
      const uint8_t* vp = a.v_pages[block / kPageTokens - a.begin / kPageTokens];

      float p[kKvBlock];
      float m = a.m[i];
      for (int32_t j = from; j < to; ++j) {
        float s = 0.0f;
        for (int c = 0; c < a.head_dim; ++c)
          s = fmaf(a.q[i][c], K::get(kp, a.head_dim, j % kPageTokens, c), s);
        p[j - block] = s;
        m = s > m ? s : m;
      }
      m += 0.0f;  // never -0, so that the maximum does not depend on the order it was found in
      float lane[8] = {};
      for (int32_t j = block; j < block + kKvBlock; ++j) {
        float& e = p[j - block];
        e = j >= from && j < to ? exp_spec(e - m) : 0.0f;
        lane[(j - block) % 8] += e;
      }
      const float correction = exp_spec(a.m[i] - m);
      a.l[i] = fmaf(a.l[i], correction, tree_sum(lane));
      a.m[i] = m;
      float* o = a.o[i];
      for (int c = 0; c < a.head_dim; ++c) {
        float acc = o[c] * correction;
        for (int32_t j = from; j < to; ++j)
          acc = fmaf(p[j - block], V::get(vp, a.head_dim, j % kPageTokens, c), acc);
        o[c] = acc;
      }
    }
}

}  // namespace

namespace {

template <class K>
void attend_row(AttendFn* by_v) {
  by_v[kKvF16] = attend<K, VF16>;
  by_v[kKvQ8_0] = attend<K, VQ8_0>;
  by_v[kKvF32] = attend<K, VF32>;
  by_v[kKvQ4_0] = attend<K, VQ4_0>;
}

}  // namespace

void scalar_attention_table(Kernels* k) {
  k->rotate32 = rotate32;
  k->store_k[kKvF16] = KF16::store;
  k->store_k[kKvQ8_0] = KQ8_0::store;
  k->store_k[kKvF32] = KF32::store;
  k->store_k[kKvQ4_0] = KQ4_0::store;
  k->store_v[kKvF16] = VF16::store;
  k->store_v[kKvQ8_0] = VQ8_0::store;
  k->store_v[kKvF32] = VF32::store;
  k->store_v[kKvQ4_0] = VQ4_0::store;
  attend_row<KF16>(k->attend[kKvF16]);
  attend_row<KQ8_0>(k->attend[kKvQ8_0]);
  attend_row<KF32>(k->attend[kKvF32]);
  attend_row<KQ4_0>(k->attend[kKvQ4_0]);
}

}  // namespace moraine::cpu
