// What a row gives the delta rule: the heads of [q | k | v] convolved through SiLU, q and k of unit length (q
// also divided by the root of its size), and for each value head what the state decays by and how much of the
// row enters it. A workgroup for each head of a row.
#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "norm.glsl"
const int kMaxHead = 1024;  // as record_delta_net.cpp checks
layout(push_constant) uniform Push {
  uint64_t qkv, a, b;                // values: [rows][channels], [rows][n_v_heads]
  uint64_t taps, a_scale, dt_bias;   // weights: [channels][n_taps], [n_v_heads]
  uint64_t heads, gates;             // results: [rows][channels]; [rows][n_v_heads] decays, then as many betas
  uint64_t sequences, sequence_of;   // by sequence; by row
  uint64_t inputs_offset;            // of the layer's earlier inputs in a state, [n_taps - 1][channels]
  int n_k_heads, n_v_heads, head_k, head_v, n_taps;
  float eps;
};

shared float head[kMaxHead];  // convolved

// log(1 + exp(x)), x itself above 20: by the series of 2 atanh(u / (2 + u)), u = exp(-|x|).
float softplus(float x) {
  const float u = exp_spec(-abs(x));
  precise float s = u / (2.0 + u), ss = s * s;
  precise float p = 1.0 / 17.0;
  for (int i = 7; i >= 0; --i) p = fma(p, ss, 1.0 / float(2 * i + 1));
  precise float y = fma(2.0 * s, p, max(x, 0.0));
  return x > 20.0 ? x : y;
}

void main() {
  const int h = int(gl_WorkGroupID.x), row = int(gl_WorkGroupID.y);
  const int n_channels = 2 * n_k_heads * head_k + n_v_heads * head_v;
  const int n = h < 2 * n_k_heads ? head_k : head_v;
  const int j = h - 2 * n_k_heads;  // of the value heads
  const int first = h < 2 * n_k_heads ? h * head_k : 2 * n_k_heads * head_k + j * head_v;
  const Sequence s = Sequences(sequences).v[ConstInts(sequence_of).v[row]];
  const int in_sequence = row - s.first, n_inputs = n_taps - 1;
  ConstFloats earlier = ConstFloats(s.state + inputs_offset);
  Floats y = Floats(row_address(heads, uint(row), n_channels) + uint64_t(first) * 4ul);

  for (int i = lane_index(); i < n; i += kLanes) {
    precise float sum = 0.0;
    for (int t = 0; t < n_taps; ++t) {
      const int from = in_sequence - n_inputs + t;  // negative: before this step
      const float x = from < 0 ? earlier.v[(n_inputs + from) * n_channels + first + i]
                               : ConstFloats(row_address(qkv, uint(s.first + from), row_stride(n_channels))).v[first + i];
      sum = fma(ConstFloats(taps).v[(first + i) * n_taps + t], x, sum);
    }
    head[i] = silu(sum);
  }
  if (h < 2 * n_k_heads) {
    barrier();
    for (int p = lane_index(); p < 16; p += kLanes) {
      precise float sum = 0.0;
      for (int i = p; i < n; i += 16) sum = fma(head[i], head[i], sum);
      partial[p] = sum;
    }
    precise float norm = 1.0 / sqrt(sum_of_partials() + eps);
    precise float scale = h < n_k_heads ? 1.0 / sqrt(float(head_k)) : 1.0;
    for (int i = lane_index(); i < n; i += kLanes) {
      precise float v = head[i] * norm * scale;
      y.v[i] = v;
    }
    return;
  }
  for (int i = lane_index(); i < n; i += kLanes) y.v[i] = head[i];
  if (lane_index() == 0) {
    const int stride = row_stride(n_v_heads);
    Floats g = Floats(row_address(gates, uint(row), 2 * n_v_heads));
    precise float x = ConstFloats(row_address(a, uint(row), stride)).v[j] + ConstFloats(dt_bias).v[j];
    precise float exponent = ConstFloats(a_scale).v[j] * softplus(x);
    g.v[j] = exp_spec(exponent);
    g.v[n_v_heads + j] = sigmoid(ConstFloats(row_address(b, uint(row), stride)).v[j]);
  }
}
