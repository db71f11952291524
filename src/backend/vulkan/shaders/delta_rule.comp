// The delta rule, row after row of a sequence, for a few rows of a value head's state: four lanes hold a row
// of S in registers, values j, j + 4, ... each, which are the four partial sums of its products with k and q.
// The state as it is after the sure rows goes back to memory; what tentative rows began with is recorded, so
// that `keep` can run those that held once more. Also moves the convolution's inputs on by the sure rows.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
layout(constant_id = 1) const int kHeadK = 128;
layout(push_constant) uniform Push {
  uint64_t heads, gates;     // as delta_inputs.comp left them
  uint64_t dst;              // [rows][n_v_heads head_v]; 0: nobody reads it
  uint64_t qkv, a, b;        // values, to record and to keep inputs of
  uint64_t record_qkv, record_a, record_b;  // as the values lie, by tentative row
  uint64_t sequences;
  uint64_t s_offset, inputs_offset;  // of the layer, in a state
  int n_k_heads, n_v_heads, head_v, n_inputs, tiled;
};

const int kRows = kLanes / 4;  // of the state, in a workgroup
shared float parts[2][kLanes];

float combine(int which) {
  const int i = lane_index() / 4 * 4;
  precise float sum = (parts[which][i] + parts[which][i + 1]) + (parts[which][i + 2] + parts[which][i + 3]);
  return sum;
}

void copy_row(uint64_t from, uint64_t to, int i_from, int i_to, int width) {
  ConstFloats x = ConstFloats(row_address(from, uint(i_from), row_stride(width)));
  Floats y = Floats(row_address(to, uint(i_to), row_stride(width)));
  for (int i = int(gl_GlobalInvocationID.x); i < width; i += int(gl_NumWorkGroups.x) * kLanes) y.v[i] = x.v[i];
}

void main() {
  const Sequence seq = Sequences(sequences).v[gl_WorkGroupID.y];
  const int per_head = head_v / kRows;
  const int head = int(gl_WorkGroupID.x) / per_head, part = lane_index() % 4;
  const int i = int(gl_WorkGroupID.x) % per_head * kRows + lane_index() / 4;  // row of the state
  const int key_head = tiled != 0 ? head % n_k_heads : head / (n_v_heads / n_k_heads);
  const int n_channels = 2 * n_k_heads * kHeadK + n_v_heads * head_v;
  const int k_first = (n_k_heads + key_head) * kHeadK, v_first = 2 * n_k_heads * kHeadK + head * head_v;
  Floats state = Floats(seq.state + s_offset + uint64_t((head * head_v + i) * kHeadK) * 4ul);

  precise float s[kHeadK / 4];
  for (int m = 0; m < kHeadK / 4; ++m) s[m] = state.v[4 * m + part];
  for (int t = 0; t < seq.n; ++t) {
    if (t == seq.n_sure)
      for (int m = 0; m < kHeadK / 4; ++m) state.v[4 * m + part] = s[m];
    ConstFloats x = ConstFloats(row_address(heads, uint(seq.first + t), n_channels));
    ConstFloats g = ConstFloats(row_address(gates, uint(seq.first + t), 2 * n_v_heads));
    const float decay = g.v[head], beta = g.v[n_v_heads + head];
    precise float p = 0.0;
    for (int m = 0; m < kHeadK / 4; ++m) p = fma(s[m], x.v[k_first + 4 * m + part], p);
    parts[0][lane_index()] = p;
    barrier();
    precise float u = beta * fma(-decay, combine(0), x.v[v_first + i]);
    p = 0.0;
    for (int m = 0; m < kHeadK / 4; ++m) {
      precise float kept = decay * s[m];
      s[m] = fma(u, x.v[k_first + 4 * m + part], kept);
      p = fma(s[m], x.v[key_head * kHeadK + 4 * m + part], p);
    }
    parts[1][lane_index()] = p;
    barrier();
    if (part == 0 && dst != 0ul)
      Floats(row_address(dst, uint(seq.first + t), row_stride(n_v_heads * head_v))).v[head * head_v + i] = combine(1);
  }
  if (seq.n_sure == seq.n)
    for (int m = 0; m < kHeadK / 4; ++m) state.v[4 * m + part] = s[m];

  // Ascending: what moves down is read before it is written.
  Floats inputs = Floats(seq.state + inputs_offset);
  for (int c = int(gl_GlobalInvocationID.x); c < n_channels; c += int(gl_NumWorkGroups.x) * kLanes)
    for (int r = 0; r < n_inputs; ++r) {
      const int from = seq.n_sure - n_inputs + r;
      inputs.v[r * n_channels + c] = from < 0 ? inputs.v[(n_inputs + from) * n_channels + c]
                                              : ConstFloats(row_address(qkv, uint(seq.first + from), row_stride(n_channels))).v[c];
    }
  for (int t = seq.n_sure; t < seq.n; ++t) {
    const int to = seq.record + t - seq.n_sure;
    copy_row(qkv, record_qkv, seq.first + t, to, n_channels);
    copy_row(a, record_a, seq.first + t, to, n_v_heads);
    copy_row(b, record_b, seq.first + t, to, n_v_heads);
  }
}
