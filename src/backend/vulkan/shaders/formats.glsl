// Blocks of weights, as quant/interleave.h lays eight rows of them side by side. Owns where the bits are and
// what they mean; the sums over blocks are matmul.comp's. A block is read by "quads": 16 consecutive values as
// four words of four int8 each, in the order of the activations' int8 values. Ids are DType's.
const int kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8, kQ2_K = 10, kQ3_K = 11, kQ4_K = 12,
          kQ5_K = 13, kQ6_K = 14, kIQ4_NL = 20, kIQ4_XS = 23, kBF16 = 30, kMXFP4 = 39;

bool is_float(int f) { return f == kF32 || f == kF16 || f == kBF16; }
bool is_256(int f) { return (f >= kQ2_K && f <= kQ6_K) || f == kIQ4_XS; }
int block_width(int f) { return is_float(f) ? 1 : is_256(f) ? 256 : 32; }

// Words of one block of eight rows.
int block_words(int f) {
  switch (f) {
    case kF32: return 8;
    case kF16: case kBF16: return 4;
    case kQ4_0: case kIQ4_NL: return 2 * 18;
    case kQ4_1: return 2 * 20;
    case kQ5_0: return 2 * 22;
    case kQ5_1: return 2 * 24;
    case kQ8_0: return 2 * 34;
    case kQ2_K: return 2 * 84;
    case kQ3_K: return 2 * 110;
    case kQ4_K: return 2 * 144;
    case kQ5_K: return 2 * 176;
    case kQ6_K: return 2 * 210;
    case kIQ4_XS: return 2 * 136;
    default: return 2 * 17;  // MXFP4
  }
}

// In what follows `w` is a weight, `at` the word where a block of eight rows begins, `row` one of these.

uint byte_at(Words w, int at, int offset, int row) {
  return (w.v[at + (offset + row) / 4] >> ((offset + row) % 4 * 8)) & 255u;
}
float half_at(Words w, int at, int offset, int row) {
  return half_bits((w.v[at + offset / 4 + row / 2] >> (row % 2 * 16)) & 0xffffu);
}

// Bytes of codes to bytes of values.
const uint kIq4Values[4] = uint[](0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);
const uint kMxfp4Values[4] = uint[](0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu);
uint look_up(const uint table[4], uint codes) {
  uint values = 0u;
  for (int i = 0; i < 4; ++i) {
    const uint code = (codes >> (8 * i)) & 15u;
    values |= ((table[code / 4u] >> (code % 4u * 8u)) & 255u) << (8 * i);
  }
  return values;
}

// Four words of nibbles at byte `offset`, low ones first: quad 0 or 1.
uvec4 nibbles(Words w, int at, int offset, int row, int quad) {
  const int i = at + offset / 4 + row;
  return (uvec4(w.v[i], w.v[i + 8], w.v[i + 16], w.v[i + 24]) >> (4 * quad)) & 0x0f0f0f0fu;
}
uvec4 steps(Words w, int at, int offset, int row) {
  const int i = at + offset / 4 + row;
  return uvec4(w.v[i], w.v[i + 8], w.v[i + 16], w.v[i + 24]);
}

// Values 16 s .. 16 s + 15, without quad_offset().
uvec4 quad(int f, Words w, int at, int row, int s) {
  switch (f) {
    case kQ4_0: return nibbles(w, at, 16, row, s);
    case kQ4_1: return nibbles(w, at, 32, row, s);
    case kQ5_0:
    case kQ5_1: {
      const int fifth = f == kQ5_0 ? 16 : 32;
      const uint high = w.v[at + fifth / 4 + row];
      const uvec4 bits = (uvec4(high) >> (uvec4(0, 1, 2, 3) + 4u * uint(s))) & 0x01010101u;
      return nibbles(w, at, fifth + 32, row, s) | (bits << 4);
    }
    case kQ8_0: return steps(w, at, 16 + 128 * s, row);
    case kIQ4_NL:
    case kIQ4_XS:
    case kMXFP4: {
      const uvec4 codes = f == kIQ4_NL   ? nibbles(w, at, 16, row, s)
                          : f == kIQ4_XS ? nibbles(w, at, 64 + 128 * (s / 2), row, s % 2)
                                         : nibbles(w, at, 8, row, s);
      uvec4 values;
      for (int i = 0; i < 4; ++i) values[i] = f == kMXFP4 ? look_up(kMxfp4Values, codes[i]) : look_up(kIq4Values, codes[i]);
      return values;
    }
    case kQ2_K:
    case kQ3_K: {
      const uvec4 low = (steps(w, at, (f == kQ2_K ? 160 : 368) + s / 8 * 256 + s % 2 * 128, row) >> (s / 2 % 4 * 2)) & 0x03030303u;
      if (f == kQ2_K) return low;
      return low | (((steps(w, at, 112 + s % 2 * 128, row) >> (s / 2)) & 0x01010101u) << 2);
    }
    case kQ4_K:
    case kQ5_K: {
      const int j = s / 2;
      const uvec4 low = (steps(w, at, (f == kQ4_K ? 128 : 384) + j / 2 * 256 + s % 2 * 128, row) >> (j % 2 * 4)) & 0x0f0f0f0fu;
      if (f == kQ4_K) return low;
      return low | (((steps(w, at, 128 + s % 2 * 128, row) >> j) & 0x01010101u) << 4);
    }
    default: {  // Q6_K
      const int half_offset = 144 + s / 8 * 768, u = s % 8 / 2;
      const uvec4 low = (steps(w, at, half_offset + u % 2 * 256 + s % 2 * 128, row) >> (u / 2 * 4)) & 0x0f0f0f0fu;
      return low | (((steps(w, at, half_offset + 512 + s % 2 * 128, row) >> (2 * u)) & 0x03030303u) << 4);
    }
  }
}

// Added to each of a quad's values.
int quad_offset(int f) { return f == kQ4_0 ? -8 : f == kQ5_0 ? -16 : f == kQ6_K ? -32 : f == kQ3_K ? -4 : 0; }

// 6-bit scale (part 0) or min (part 1) of sub-block j, of the three fields at byte `offset`.
int k_scale(Words w, int at, int offset, int part, int row, int j) {
  const int low = offset + 48 * part;
  return int((byte_at(w, at, low + j % 4 * 8, row) >> (j / 4 * 4)) & 15u) |
         int((byte_at(w, at, low + 32 + j / 4 * 8, row) >> (j % 4 * 2)) & 3u) << 4;
}

// The integer that quad s is multiplied with.
int quad_scale(int f, Words w, int at, int row, int s) {
  switch (f) {
    case kQ2_K: return int(byte_at(w, at, 32 + 8 * s, row) & 15u);
    case kQ3_K:
      return (int((byte_at(w, at, 16 + s % 8 * 8, row) >> (s / 8 * 4)) & 15u) |
              int((byte_at(w, at, 80 + s % 4 * 8, row) >> (s / 4 * 2)) & 3u) << 4) - 32;
    case kQ4_K:
    case kQ5_K: return k_scale(w, at, 32, 0, row, s / 2);
    case kQ6_K: return bitfieldExtract(int(byte_at(w, at, 16 + 8 * s, row)), 0, 8);
    case kIQ4_XS: return k_scale(w, at, 16, 0, row, s / 2) - 32;
    default: return 1;
  }
}

bool has_min(int f) { return f == kQ4_1 || f == kQ5_1 || f == kQ2_K || f == kQ4_K || f == kQ5_K; }
bool min_is_scaled(int f) { return f == kQ2_K || f == kQ4_K || f == kQ5_K; }  // and subtracted; else added
int quad_min(int f, Words w, int at, int row, int s) {
  return f == kQ2_K ? int(byte_at(w, at, 32 + 8 * s, row) >> 4) : min_is_scaled(f) ? k_scale(w, at, 32, 1, row, s / 2) : 1;
}

float block_scale(int f, Words w, int at, int row) {
  if (f != kMXFP4) return half_at(w, at, 0, row);
  const uint e = byte_at(w, at, 0, row);  // 2^(e - 128); the two smallest are subnormal
  return uintBitsToFloat(e < 2u ? 0x00200000u << e : (e - 1u) << 23);
}
float block_min(Words w, int at, int row) { return half_at(w, at, 16, row); }

// Value k of a row of float weights; `group` is the word where its eight rows begin.
float float_weight(int f, Words w, int group, int row, int k) {
  if (f == kF32) return uintBitsToFloat(w.v[group + 8 * k + row]);
  const uint bits = (w.v[group + 4 * k + row / 2] >> (row % 2 * 16)) & 0xffffu;
  return f == kF16 ? half_bits(bits) : uintBitsToFloat(bits << 16);
}

int signed_byte(uint word, int i) { return bitfieldExtract(int(word), 8 * i, 8); }

// Value i of a block as a float, as quant/ unpacks it.
float weight_value(int f, Words w, int at, int row, int i) {
  const int s = i / 16;
  const uint word = quad(f, w, at, row, s)[i / 4 % 4];
  const float q = float(signed_byte(word, i % 4) + quad_offset(f));
  precise float scale = block_scale(f, w, at, row);
  if (is_256(f)) scale *= float(quad_scale(f, w, at, row, s));
  precise float value = scale * q;
  if (min_is_scaled(f)) {
    precise float least = block_min(w, at, row) * float(quad_min(f, w, at, row, s));
    value -= least;
  } else if (has_min(f)) {
    value += block_min(w, at, row);
  }
  return value;
}
