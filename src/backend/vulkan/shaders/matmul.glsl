// Eight weight rows times up to kTile rows of activations. Whoever includes this says what `k` is: values in a row.
//
// Lane (row, c) takes blocks c, c + kColumns, ... of its weight row: a block's dot product is an exact int32.
// The blocks' terms meet in shared memory and are added ascending, as on the CPU. kTile rows go together so
// that a weight is read once for all of them; how many there are moves no bit.
#include "formats.glsl"
#include "quantized.glsl"
layout(constant_id = 3) const int kTile = 8;

const int kColumns = kLanes / 8;
const int kOwn = (kTile + kColumns - 1) / kColumns;  // results of a lane: rows c, c + kColumns, ... of the tile
const int kFloats = 8;  // values of a float weight that are held at a time

shared vec4 terms[kLanes * kTile];
float acc[kOwn];
int x_row[kTile];
int n_rows;  // of this tile

// Row t of the tile.
uint64_t activations(uint64_t base, int stride, int t) { return base + uint64_t(x_row[t]) * uint64_t(stride); }

int dot4(uint a, uint b) {
  return signed_byte(a, 0) * signed_byte(b, 0) + signed_byte(a, 1) * signed_byte(b, 1) +
         signed_byte(a, 2) * signed_byte(b, 2) + signed_byte(a, 3) * signed_byte(b, 3);
}

// (scale, dot) and, of formats with a minimum, (its scale, its sum) for each row of the tile.
void block_terms(int f, Words w, int at, int row, uint64_t base, int stride, int b) {
  const int n_quads = block_width(f) / 16;
  int dots[kTile], mins[kTile];
  for (int t = 0; t < kTile; ++t) dots[t] = 0, mins[t] = 0;
  [[dont_unroll]] for (int s = 0; s < n_quads; ++s) {  // else compilers take seconds over each format
    const uvec4 q = quad(f, w, at, row, s);
    const int scale = quad_scale(f, w, at, row, s);
    const int least = has_min(f) ? quad_min(f, w, at, row, s) : 0;
    for (int t = 0; t < kTile; ++t) {
      if (t >= n_rows) break;
      const uint64_t xs = activations(base, stride, t);
      const uvec4 y = uvec4(ConstIvec4s(xs).v[b * n_quads + s]);
      int dot = dot4(q.x, y.x) + dot4(q.y, y.y) + dot4(q.z, y.z) + dot4(q.w, y.w);
      if (quad_offset(f) != 0 || has_min(f)) {
        const int sum = ConstInts(sums_of(xs, k)).v[b * n_quads + s];
        dot += quad_offset(f) * sum;
        mins[t] += least * sum;
      }
      dots[t] += scale * dot;
    }
  }
  const float d = block_scale(f, w, at, row), m = has_min(f) ? block_min(w, at, row) : 0.0;
  for (int t = 0; t < kTile; ++t) {
    if (t >= n_rows) break;
    const float dx = ConstFloats(scales_of(activations(base, stride, t), k)).v[b];
    precise vec4 term = vec4(d * dx, float(dots[t]), 0.0, 0.0);
    if (min_is_scaled(f)) {
      term.z = -(m * dx);
      term.w = float(mins[t]);
    } else if (has_min(f)) {
      term.z = m;
      term.w = dx * float(mins[t]);
    }
    terms[lane_index() * kTile + t] = term;
  }
}

// acc[i] = the product of the lane's weight row with row c + i * kColumns of the tile.
void multiply(int f, uint64_t weights, int group, uint64_t base, int stride) {
  const int row = lane_index() % 8, c = lane_index() / 8;
  const int n_blocks = k / block_width(f);
  Words w = Words(weights + uint64_t(group) * uint64_t(n_blocks * block_words(f)) * 4ul);
  for (int i = 0; i < kOwn; ++i) acc[i] = 0.0;
  if (is_float(f)) {
    for (int first = 0; first < k; first += kFloats) {
      const int n = min(kFloats, k - first);
      float values[kFloats];
      for (int j = 0; j < n; ++j) values[j] = float_weight(f, w, 0, row, first + j);
      for (int i = 0; i < kOwn; ++i) {
        const int t = c + i * kColumns;
        if (t >= n_rows) break;
        ConstFloats xs = ConstFloats(activations(base, stride, t));
        precise float sum = acc[i];
        for (int j = 0; j < n; ++j) sum = fma(values[j], xs.v[first + j], sum);
        acc[i] = sum;
      }
    }
    return;
  }
  for (int first = 0; first < n_blocks; first += kColumns) {
    if (first + c < n_blocks) block_terms(f, w, (first + c) * block_words(f), row, base, stride, first + c);
    if (kColumns > 1) barrier();
    const int n_there = min(kColumns, n_blocks - first);
    for (int i = 0; i < kOwn; ++i) {
      const int t = c + i * kColumns;
      if (t >= n_rows) break;
      precise float sum = acc[i];
      for (int j = 0; j < n_there; ++j) {
        const vec4 term = terms[(j * 8 + row) * kTile + t];
        sum = fma(term.x, term.y, sum);
        if (has_min(f)) sum = fma(term.z, term.w, sum);
      }
      acc[i] = sum;
    }
    if (kColumns > 1) barrier();
  }
}
