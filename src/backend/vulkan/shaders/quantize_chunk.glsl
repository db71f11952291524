// 256 values of a row, or what is left of it, that a workgroup has in shared memory, to int8.
#include "quantized.glsl"
shared float values[256];
shared float largest[16];  // of each 16 of them

// Values [first, end) of a row of k, once all lanes have written them; to: where the row's int8 values begin.
void quantize_chunk(uint64_t to, int k, int width, int first, int end) {
  const int n_runs = (end - first) / 16, of_block = width / 16;
  float x[16];
  barrier();
  for (int run = lane_index(); run < n_runs; run += kLanes) {
    for (int i = 0; i < 16; ++i) x[i] = values[16 * run + i];
    largest[run] = largest_of(x);
  }
  barrier();
  for (int run = lane_index(); run < n_runs; run += kLanes) {
    for (int i = 0; i < 16; ++i) x[i] = values[16 * run + i];
    float most = 0.0;
    for (int i = 0; i < of_block; ++i) most = max(largest[run / of_block * of_block + i], most);
    put_run(to, k, width, first / 16 + run, x, most);
  }
}
