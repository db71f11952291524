// The plan: what a model's forward pass computes, written once as a flat list of semantic ops with
// the number of rows left symbolic. Owns the op vocabulary, values and weight declarations; knows
// nothing of files, devices or threads. A backend takes a Plan and runs it (backend.h); each op's meaning
// to the bit is its scalar kernel (backend/cpu/kernels/scalar).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "tensor/dtype.h"

namespace moraine::plan {

// How many rows a value has is known only when a step runs.
enum class Extent : uint8_t {
  kRows,     // one row for each token of the step
  kOutputs,  // one row for each token whose logits are wanted
};

// An activation: float32, [rows, width], row-major, rows padded to row_stride(width) floats.
struct Value {
  int32_t width = 0;
  Extent extent = Extent::kRows;
};
using ValueId = int32_t;

// Rows are padded so that kernels may store whole vectors; the padding is never read.
constexpr int32_t row_stride(int32_t width) { return (width + 15) / 16 * 16; }

enum class WeightRole : uint8_t {
  kMatrix,  // [rows, cols], used by matmul, embed and moe
  kVector,  // float32 [rows, cols]: norm weights, biases, convolution taps
};

// Consecutive rows of a file's tensor.
struct RowRange {
  int32_t first = 0, n = 0;
};

struct Weight {
  std::string name;  // as in the file: "blk.0.attn_q.weight"
  DType dtype = DType::kF32;
  WeightRole role = WeightRole::kMatrix;
  int32_t cols = 0;  // values in a row: the dimension a product sums over
  int32_t rows = 1;  // of a stack of experts: those of all experts, one after another
  // Which rows of the file's tensor these are, in this order; empty: all of them. Files hold side by side
  // what is used apart (queries and their gates), and this is where they part: at load, not in a step.
  std::vector<RowRange> source;
};
using WeightId = int32_t;
constexpr WeightId kNoWeight = -1;

enum class Activation : uint8_t { kSilu, kGeluTanh };

enum class RopeKind : uint8_t {
  kNeox,      // pairs (i, i + n_rot/2)
  kAdjacent,  // pairs (2i, 2i + 1)
};

struct RopeParams {
  RopeKind kind = RopeKind::kNeox;
  int32_t n_rot = 0;  // leading dimensions of a head that are rotated
  float freq_base = 10000.0f;
  float freq_scale = 1.0f;            // positions are multiplied by it (linear scaling: 1/factor)
  WeightId freq_factors = kNoWeight;  // [n_rot/2]: frequencies are divided by these
  // YaRN (arXiv 2309.00071): frequencies of many turns within the original context keep their pace, slow
  // ones are scaled by freq_scale, a ramp lies between. 0: freq_scale holds for all.
  float yarn_original_context = 0.0f;  // positions
  float yarn_ext_factor = 1.0f;        // how much of the ramp is used: 1 as published
  float yarn_beta_fast = 32.0f;        // turns within the original context: from here on unscaled
  float yarn_beta_slow = 1.0f;         // and down from here scaled whole
  float magnitude = 1.0f;              // cos and sin are multiplied by it
  // Queries' temperature, for ropes that turn whole heads: cos and sin are multiplied by
  // 1 + temperature_scale * ln(1 + floor(position / temperature_length)). 0: by nothing.
  float temperature_scale = 0.0f;
  float temperature_length = 1.0f;  // positions

  bool operator==(const RopeParams&) const = default;
};

// ---- The vocabulary. Each struct is one op; in and out name values; *_inout are changed in place.

// out[r] = scale * table[tokens[r]]
struct Embed {
  WeightId table;
  ValueId out;
  float scale;
};

// Each group of `group` consecutive values of a row is normalised by itself:
// out = in * (mean(in^2) + eps)^-1/2 * weight
struct RmsNorm {
  ValueId in, out;
  WeightId weight;  // [group]
  int32_t group;
  float eps;
};

// out[r] = W in[r] (+ bias). Quantised W: in is quantised first, see docs/numerics.md.
struct Matmul {
  ValueId in, out;
  WeightId weight;
  WeightId bias;
};

// out[r] = act(Wg in[r]) * (Wu in[r])
struct GatedFfn {
  ValueId in, out;
  WeightId gate, up;
  Activation act;
};

// Rotates each head of inout by its row's position.
struct Rope {
  ValueId inout;
  int32_t n_heads, head_dim;
  RopeParams params;
};

// Writes k and v into their sequence's cache at their row's position, then
// out[r] = softmax(scale * q[r] K^T) V over positions (pos - window, pos], by head;
// query head h uses KV head h / (n_heads / n_kv_heads). window <= 0: everything before.
struct Attention {
  ValueId q, k, v, out;
  int32_t layer;  // index into KvShape::layers
  int32_t n_heads, n_kv_heads, head_dim;
  float scale;
  int32_t window;
};

enum class GateKind : uint8_t { kSigmoid, kSilu };

// inout *= f(gate), value by value; a gate one value wide scales the whole row.
struct Gate {
  ValueId inout, gate;
  GateKind kind;
};

// A mixture of experts. p = softmax(router[r]) over n_experts; the top_k largest are chosen (of equals the
// lower index) and, if normalise, divided by their sum; then over the chosen, by descending p,
// out[r] = sum p_e * down_e (act(gate_e in[r]) * (up_e in[r])).
struct Moe {
  ValueId in;         // [rows, n_embd]
  ValueId router;     // [rows, n_experts]: logits
  ValueId out;        // [rows, n_embd]
  WeightId gate, up;  // stacks of [n_ff, n_embd] by expert
  WeightId down;      // stack of [n_embd, n_ff]
  int32_t n_experts, top_k, n_ff;
  bool normalise;
  Activation act;
};

// Gated DeltaNet (Yang et al., arXiv 2412.06464) as the serial recurrence, its short convolution included.
// For each row in order, with the sequence's state S [head_v, head_k] by value head, float32:
//   x = silu(causal depthwise convolution of qkv, n_taps wide) = [q | k | v] by heads
//   q, k = x * (sum x^2 + eps)^-1/2 by key head;  q *= head_k^-1/2
//   beta = sigmoid(b);  d = exp(a_scale * softplus(a + dt_bias))
//   u = beta (v - d S k);  S = d S + u k^T;  out = S q
struct GatedDeltaNet {
  ValueId qkv;                   // [rows, 2 n_k_heads head_k + n_v_heads head_v]: raw projections
  ValueId a, b;                  // [rows, n_v_heads]
  ValueId out;                   // [rows, n_v_heads head_v]
  WeightId conv;                 // vector [channels of qkv, n_taps], newest input last
  WeightId a_scale, dt_bias;     // vectors [n_v_heads]; a_scale < 0
  int32_t layer;                 // index into StateShape::layers
  int32_t n_k_heads, n_v_heads;  // several value heads share a key head
  int32_t head_k, head_v;        // values in a head
  int32_t n_taps;
  bool tiled;  // value head j reads key head j % n_k_heads; else j / (n_v_heads / n_k_heads)
  float eps;   // of the L2 norms

  int32_t n_channels() const { return 2 * n_k_heads * head_k + n_v_heads * head_v; }
};

// inout += in
struct Add {
  ValueId inout, in;
};

// out[i] = in[output_rows[i]]: from kRows to kOutputs
struct GatherOutputs {
  ValueId in, out;
};

// A pause in a part of a model's plan, where other parts run elsewhere: the ops behind it run when the host
// has read the values that are given and written those that are taken (Executable::resume).
struct Exchange {
  std::vector<ValueId> given, taken;
};

using Op = std::variant<Embed, RmsNorm, Matmul, GatedFfn, Rope, Attention, Gate, Moe, GatedDeltaNet, Add,
                        GatherOutputs, Exchange>;
const char* op_name(const Op& op) noexcept;

// What one token takes in the cache, by layer.
struct KvShape {
  struct Layer {
    int32_t n_kv_heads = 0;
    int32_t head_dim = 0;
  };
  std::vector<Layer> layers;
};

// What a sequence carries besides keys and values: as large after a million tokens as after one.
struct StateShape {
  struct Layer {
    int32_t n_heads = 0, head_v = 0, head_k = 0;  // S: [n_heads, head_v, head_k] float32
    int32_t n_channels = 0, n_inputs = 0;         // the convolution's latest inputs, float32
  };
  std::vector<Layer> layers;
};

struct Plan {
  std::vector<Value> values;
  std::vector<Op> ops;
  ValueId output = -1;  // [outputs, n_vocab]: logits; -1: none, in a part of a plan
};

// Calls fn(id, written) for every value an op touches: reads first, then writes; an inout value is
// given once, as written.
template <class Fn>
void for_each_value(const Op& op, Fn&& fn) {
  std::visit(
      [&](const auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, Embed>) {
          fn(o.out, true);
        } else if constexpr (std::is_same_v<T, Rope>) {
          fn(o.inout, true);
        } else if constexpr (std::is_same_v<T, Attention>) {
          fn(o.q, false), fn(o.k, false), fn(o.v, false), fn(o.out, true);
        } else if constexpr (std::is_same_v<T, Gate>) {
          fn(o.gate, false), fn(o.inout, true);
        } else if constexpr (std::is_same_v<T, Moe>) {
          fn(o.in, false), fn(o.router, false), fn(o.out, true);
        } else if constexpr (std::is_same_v<T, GatedDeltaNet>) {
          fn(o.qkv, false), fn(o.a, false), fn(o.b, false), fn(o.out, true);
        } else if constexpr (std::is_same_v<T, Add>) {
          fn(o.in, false), fn(o.inout, true);
        } else if constexpr (std::is_same_v<T, Exchange>) {
          for (const ValueId v : o.given) fn(v, false);
          for (const ValueId v : o.taken) fn(v, true);
        } else {
          fn(o.in, false), fn(o.out, true);
        }
      },
      op);
}

// Calls fn(id) for every weight an op names, kNoWeight left out; of an op that is not const, so that fn may
// change it.
template <class AnyOp, class Fn>
void for_each_weight(AnyOp& op, Fn&& fn) {
  const auto named = [&](auto&... ids) { ((ids == kNoWeight ? void() : fn(ids)), ...); };
  std::visit(
      [&](auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, Embed>) {
          named(o.table);
        } else if constexpr (std::is_same_v<T, RmsNorm>) {
          named(o.weight);
        } else if constexpr (std::is_same_v<T, Matmul>) {
          named(o.weight, o.bias);
        } else if constexpr (std::is_same_v<T, GatedFfn>) {
          named(o.gate, o.up);
        } else if constexpr (std::is_same_v<T, Rope>) {
          named(o.params.freq_factors);
        } else if constexpr (std::is_same_v<T, Moe>) {
          named(o.gate, o.up, o.down);
        } else if constexpr (std::is_same_v<T, GatedDeltaNet>) {
          named(o.conv, o.a_scale, o.dt_bias);
        }
      },
      op);
}

// Writes a plan: each call appends one op and returns its result.
class Builder {
 public:
  explicit Builder(const std::vector<Weight>& weights) : weights_(weights) {}

  ValueId embed(WeightId table, float scale = 1.0f);
  ValueId rms_norm(ValueId in, WeightId weight, float eps, int32_t group = 0);  // 0: the whole row
  ValueId matmul(ValueId in, WeightId weight, WeightId bias = kNoWeight);
  ValueId gated_ffn(ValueId in, WeightId gate, WeightId up, Activation act);
  void rope(ValueId inout, int32_t n_heads, int32_t head_dim, const RopeParams& params);
  ValueId attention(ValueId q, ValueId k, ValueId v, Attention params);  // params' value ids are set here
  void gate(ValueId inout, ValueId gate, GateKind kind);
  ValueId moe(ValueId in, ValueId router, Moe params);  // params' value ids are set here
  ValueId gated_delta_net(ValueId qkv, ValueId a, ValueId b, GatedDeltaNet params);
  void add(ValueId inout, ValueId in);
  ValueId gather_outputs(ValueId in);
  Plan finish(ValueId output);

  int32_t width(ValueId v) const { return plan_.values[v].width; }

 private:
  ValueId value(int32_t width, Extent extent);
  const Weight& weight(WeightId w) const { return weights_[w]; }

  const std::vector<Weight>& weights_;
  Plan plan_;
};

// Where each value lies in one scratch buffer, for at most this many rows. Values whose lifetimes do
// not meet share bytes, so a step's scratch is known exactly before anything runs. The plan's output
// has no place here: it is written to the caller's memory.
struct ScratchLayout {
  std::vector<uint64_t> offsets;  // bytes, by ValueId, aligned to 64
  uint64_t size_bytes = 0;
};
//
// phases: a number for each op, ascending, where a backend runs several ops as one loop over rows:
// ops of one phase count as simultaneous. Empty: each op is a phase.
// elsewhere: by value, true for those that get no place here. Empty: all of them do.
ScratchLayout lay_out_scratch(const Plan& plan, int32_t max_rows, int32_t max_outputs,
                              std::span<const int> phases = {}, const std::vector<bool>& elsewhere = {});

}  // namespace moraine::plan
