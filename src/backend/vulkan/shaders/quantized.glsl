// A row of activations as int8 with a scale for each block of 32 or 256 and the sum of each 16 values:
// [k] int8, [k / 16] int32, [k / width] float32, rounded up to 16 bytes. Lanes write it in runs of 16 values.
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Packed { uint v[]; };

int quantized_row_bytes(int k, int width) { return (k + k / 4 + 4 * (k / width) + 15) / 16 * 16; }
uint64_t sums_of(uint64_t row, int k) { return row + uint64_t(k); }
uint64_t scales_of(uint64_t row, int k) { return row + uint64_t(k + k / 4); }

float largest_of(float x[16]) {
  float most = 0.0;
  for (int i = 0; i < 16; ++i) most = abs(x[i]) > most ? abs(x[i]) : most;
  return most;
}

// Run `run` of a row of k values; most: the largest magnitude of its block.
void put_run(uint64_t row, int k, int width, int run, float x[16], float most) {
  precise float inverse = most > 0.0 ? 127.0 / most : 0.0;
  int sum = 0;
  for (int i = 0; i < 4; ++i) {
    uint word = 0u;
    for (int j = 0; j < 4; ++j) {
      precise float v = x[4 * i + j] * inverse;
      v = v < 127.0 ? v : 127.0;  // a NaN becomes 127 too
      v = v > -127.0 ? v : -127.0;
      const int q = int(roundEven(v));
      sum += q;
      word |= uint(q & 255) << (8 * j);
    }
    Packed(row).v[4 * run + i] = word;
  }
  Ints(sums_of(row, k)).v[run] = sum;
  if (run % (width / 16) == 0) {
    precise float d = most / 127.0;
    Floats(scales_of(row, k)).v[run * 16 / width] = d;
  }
}
