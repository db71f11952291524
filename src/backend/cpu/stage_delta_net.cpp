// Gated DeltaNet: each task takes one key head of one sequence, with the value heads that read it, through
// all of the step's rows, a few at a time so that convolved rows and a tile of the state stay in the
// first-level cache. Rows go in order and by the same kernel calls whatever their number: the split into
// chunks moves no bit.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/kernels/scalar/math.h"
#include "backend/cpu/stages.h"
#include "base/check.h"

namespace moraine::cpu {
namespace {

constexpr int32_t kChunk = 16;  // rows convolved, then folded into the state, at a time
constexpr int32_t kMaxTaps = 8;

// log(1 + exp(x)) as the published code has it: x itself above 20. In double, so that no library's
// float32 logarithm shows in the bits.
float softplus(float x) {
  return x > 20.0f ? x : static_cast<float>(std::log1p(std::exp(static_cast<double>(x))));
}

}  // namespace

int64_t DeltaNetStage::thread_floats(const plan::GatedDeltaNet& op) {
  const int64_t group = op.n_v_heads / op.n_k_heads;
  return kChunk * (2 * op.head_k + group * (op.head_v + 2));
}

DeltaNetStage::DeltaNetStage(const plan::GatedDeltaNet& op, CpuExecutable& exe) : op_(op) {
  // Architectures refuse files with others.
  MORAINE_CHECK(op.n_taps <= kMaxTaps && op.head_v % kDeltaTile == 0 && op.head_k % 4 == 0);
  // The file has each channel's taps together; channels are the lanes of the kernel.
  const float* by_channel = exe.backend().weight(op.conv).vector();
  const int32_t n = op.n_channels();
  taps_.resize(static_cast<size_t>(n) * op.n_taps);
  for (int32_t c = 0; c < n; ++c)
    for (int32_t i = 0; i < op.n_taps; ++i)
      taps_[static_cast<size_t>(i) * n + c] = by_channel[static_cast<size_t>(c) * op.n_taps + i];
}

// One key head of one sequence.
struct DeltaNetStage::Head {
  const plan::GatedDeltaNet& op;
  const Kernels& kernels;
  const float* taps;
  Rows qkv;  // from the sequence's first row of this step on
  CpuBackend::LayerState state;

  int32_t n_inputs() const { return op.n_taps - 1; }

  // The raw input of row r, channel c; negative rows are those before this step.
  const float* input(int32_t r, int32_t c) const {
    return r >= 0 ? qkv.row(r) + c
                  : state.inputs + static_cast<int64_t>(n_inputs() + r) * op.n_channels() + c;
  }
  void convolve(int32_t r, int32_t first_channel, int32_t n, float* y) const {
    const float* x[kMaxTaps];
    for (int32_t i = 0; i < op.n_taps; ++i) x[i] = input(r - n_inputs() + i, first_channel);
    kernels.conv_silu(x, taps + first_channel, op.n_channels(), op.n_taps, n, y);
  }
  // Keeps the last inputs of these channels for the next step. Ascending: what moves down is read first.
  void keep_inputs(int32_t n_rows, int32_t first_channel, int32_t n) const {
    for (int32_t i = 0; i < n_inputs(); ++i)
      std::memmove(state.inputs + static_cast<int64_t>(i) * op.n_channels() + first_channel,
                   input(n_rows - n_inputs() + i, first_channel), n * sizeof(float));
  }
};

void DeltaNetStage::run_head(CpuExecutable& exe, const StepContext& ctx, const SequenceRows& rows, int32_t h,
                             float* scratch) noexcept {
  const CpuBackend& be = exe.backend();
  const Kernels& k = be.kernels();
  const int32_t group = op_.n_v_heads / op_.n_k_heads;
  const int32_t q_channel = h * op_.head_k, k_channel = (op_.n_k_heads + h) * op_.head_k;
  const auto value_head = [&](int32_t g) { return op_.tiled ? g * op_.n_k_heads + h : h * group + g; };
  const auto v_channel = [&](int32_t g) {
    return 2 * op_.n_k_heads * op_.head_k + value_head(g) * op_.head_v;
  };
  const Rows qkv = exe.rows(op_.qkv, ctx), a = exe.rows(op_.a, ctx), b = exe.rows(op_.b, ctx),
             out = exe.rows(op_.out, ctx);
  const Head head{op_,
                  k,
                  taps_.data(),
                  {qkv.row(rows.first), qkv.stride},
                  be.state(ctx.step->states[ctx.step->sequences[rows.first]], op_.layer)};
  const float* a_scale = be.weight(op_.a_scale).vector();
  const float* dt_bias = be.weight(op_.dt_bias).vector();

  float* qk = scratch;                             // [kChunk][2 head_k]: q, k
  float* v = qk + kChunk * 2 * op_.head_k;         // [kChunk][group head_v]
  float* decay = v + kChunk * group * op_.head_v;  // [group][kChunk]
  float* beta = decay + group * kChunk;
  for (int32_t r0 = 0; r0 < rows.n; r0 += kChunk) {
    const int32_t n = std::min(kChunk, rows.n - r0);
    for (int32_t t = 0; t < n; ++t) {
      float* q_row = qk + t * 2 * op_.head_k;
      head.convolve(r0 + t, q_channel, op_.head_k, q_row);
      head.convolve(r0 + t, k_channel, op_.head_k, q_row + op_.head_k);
      k.l2_norm(q_row, op_.head_k, op_.eps, 1.0f / std::sqrt(static_cast<float>(op_.head_k)));
      k.l2_norm(q_row + op_.head_k, op_.head_k, op_.eps, 1.0f);
      for (int32_t g = 0; g < group; ++g) {
        const int32_t j = value_head(g), row = rows.first + r0 + t;
        head.convolve(r0 + t, v_channel(g), op_.head_v, v + (t * group + g) * op_.head_v);
        decay[g * kChunk + t] = exp_spec(a_scale[j] * softplus(a.row(row)[j] + dt_bias[j]));
        beta[g * kChunk + t] = 1.0f / (1.0f + exp_spec(-b.row(row)[j]));
      }
    }
    for (int32_t g = 0; g < group; ++g) {
      DeltaArgs d = {};
      d.head_k = op_.head_k;
      d.n_tokens = n;
      d.q = qk, d.k = qk + op_.head_k;
      d.qk_stride = 2 * op_.head_k;
      d.v_stride = group * op_.head_v;
      d.decay = decay + g * kChunk, d.beta = beta + g * kChunk;
      d.o_stride = out.stride;
      const int32_t j = value_head(g);
      for (int32_t i = 0; i < op_.head_v; i += kDeltaTile) {
        d.s = head.state.s + (static_cast<int64_t>(j) * op_.head_v + i) * op_.head_k;
        d.v = v + g * op_.head_v + i;
        d.o = out.row(rows.first + r0) + j * op_.head_v + i;
        k.delta_tile(d);
      }
    }
  }
  head.keep_inputs(rows.n, q_channel, op_.head_k);
  head.keep_inputs(rows.n, k_channel, op_.head_k);
  for (int32_t g = 0; g < group; ++g) head.keep_inputs(rows.n, v_channel(g), op_.head_v);
}

void DeltaNetStage::run(CpuExecutable& exe, const StepContext& ctx) noexcept {
  const auto sequences = exe.sequence_rows();
  const auto n = static_cast<int32_t>(sequences.size());
  exe.backend().pool().run(n * op_.n_k_heads, [&](int task, int thread) {
    run_head(exe, ctx, sequences[task / op_.n_k_heads], task % op_.n_k_heads, exe.thread_scratch(thread));
  });
}

}  // namespace moraine::cpu
