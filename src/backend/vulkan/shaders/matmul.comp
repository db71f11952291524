// dst[r] = W x[r] (+ bias), or act(W x[r]) * (W_up x[r]): eight weight rows times kTile rows of activations by
// workgroup. With kExperts a tile's rows are those that chose one expert, whose part of the stack it reads.
//
// Lane (row, c) takes blocks c, c + kColumns, ... of its weight row: a block's dot product is an exact int32.
// The blocks' terms meet in shared memory and are added ascending, as on the CPU. kTile rows go together so
// that a weight is read once for all of them; how many there are moves no bit.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "formats.glsl"
#include "quantized.glsl"
layout(constant_id = 1) const int kFormat = 0;
layout(constant_id = 2) const int kFormatUp = -1;  // -1: no second product
layout(constant_id = 3) const int kTile = 8;
layout(constant_id = 4) const int kExperts = 0;
layout(constant_id = 5) const int kGelu = 0;  // what the second product is multiplied with: 0 SiLU, 1 GELU
layout(push_constant) uniform Push {
  uint64_t weight, up, bias;  // bias 0: none
  uint64_t x, x_up;           // activations, as the format of `weight` and of `up` takes them
  uint64_t dst;
  uint64_t tiles;    // where the number of rows is; experts: their tiles (sort_pairs.comp)
  uint64_t pair_at;  // experts: the pair at each place, whose row is pair / top_k; 0: the place's own row
  int n, k;          // weight rows (of one expert), values in each
  int x_stride, x_up_stride;  // bytes
  int dst_stride;             // floats
  int top_k;
};

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

void main() {
  int place = int(gl_WorkGroupID.y) * kTile, expert = 0;
  if (kExperts != 0) {
    ConstInts t = ConstInts(tiles);
    const int tile = int(gl_WorkGroupID.y);
    if (tile >= t.v[0]) return;
    expert = t.v[4 + 4 * tile];
    place = t.v[5 + 4 * tile];
    n_rows = t.v[6 + 4 * tile];
  } else {
    n_rows = min(kTile, ConstInts(tiles).v[0] - place);
  }
  for (int t = 0; t < kTile; ++t)
    x_row[t] = kExperts != 0 && pair_at != 0ul && t < n_rows ? ConstInts(pair_at).v[place + t] / top_k : place + t;

  const int n_groups = (n + 7) / 8;
  for (int g = int(gl_WorkGroupID.x); g < n_groups; g += int(gl_NumWorkGroups.x)) {
    const int o = 8 * g + lane_index() % 8, c = lane_index() / 8;
    multiply(kFormat, weight, expert * n_groups + g, x, x_stride);
    float first[kOwn];
    if (kFormatUp >= 0) {
      for (int i = 0; i < kOwn; ++i) first[i] = acc[i];
      multiply(kFormatUp, up, expert * n_groups + g, x_up, x_up_stride);
    }
    for (int i = 0; i < kOwn; ++i) {
      const int t = c + i * kColumns;
      if (t >= n_rows || o >= n) break;
      precise float y = acc[i];
      if (kFormatUp >= 0) y = (kGelu != 0 ? gelu_tanh(first[i]) : silu(first[i])) * y;
      if (bias != 0ul) y += ConstFloats(bias).v[o];
      Floats(row_address(dst, uint(place + t), dst_stride)).v[o] = y;
    }
  }
}
