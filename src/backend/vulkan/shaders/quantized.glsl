// A row of activations as int8 with a scale for each block of 32 or 256 and the sum of each 16 values:
// [k] int8, [k / 16] int32, [k / width] float32, rounded up to 16 bytes. quantize.comp writes it.
int quantized_row_bytes(int k, int width) { return (k + k / 4 + 4 * (k / width) + 15) / 16 * 16; }
uint64_t sums_of(uint64_t row, int k) { return row + uint64_t(k); }
uint64_t scales_of(uint64_t row, int k) { return row + uint64_t(k + k / 4); }
