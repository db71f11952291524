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

int64_t DeltaNetStage::thread_floats(const plan::GatedDeltaNet& op, const plan::StepLimits& limits) {
  const int64_t group = op.n_v_heads / op.n_k_heads, rows = std::max(kChunk, limits.max_tentative);
  return rows * (2 * op.head_k + group * (op.head_v + 2)) + kDeltaTile * op.head_k;
}

DeltaNetStage::DeltaNetStage(const plan::GatedDeltaNet& op, CpuExecutable& exe)
    : op_(op), most_rows_(std::max(kChunk, exe.limits().max_tentative)) {
  // Architectures refuse files with others.
  MORAINE_CHECK(op.n_taps <= kMaxTaps && op.head_v % kDeltaTile == 0 && op.head_k % 4 == 0);
  // The file has each channel's taps together; channels are the lanes of the kernel.
  const float* by_channel = exe.backend().weight(op.conv).vector();
  const int32_t n = op.n_channels();
  taps_.resize(static_cast<size_t>(n) * op.n_taps);
  for (int32_t c = 0; c < n; ++c)
    for (int32_t i = 0; i < op.n_taps; ++i)
      taps_[static_cast<size_t>(i) * n + c] = by_channel[static_cast<size_t>(c) * op.n_taps + i];
  if (const int32_t rows = exe.limits().max_tentative)
    record_ = std::make_unique<Mapping>(rows * record_stride() * sizeof(float));
}

// One key head of one sequence. Rows count from the sequence's first of this step.
struct DeltaNetStage::Head {
  const plan::GatedDeltaNet& op;
  const CpuBackend& backend;
  const float* taps;
  int32_t h;
  CpuBackend::LayerState state;
  Rows qkv, a, b, out;  // out.data: null where nobody reads it

  int32_t n_inputs() const { return op.n_taps - 1; }
  int32_t value_head(int32_t g) const {
    return op.tiled ? g * op.n_k_heads + h : h * (op.n_v_heads / op.n_k_heads) + g;
  }

  // The raw input of row r, channel c; negative rows are those before this step.
  const float* input(int32_t r, int32_t c) const {
    return r >= 0 ? qkv.row(r) + c
                  : state.inputs + static_cast<int64_t>(n_inputs() + r) * op.n_channels() + c;
  }
  void convolve(int32_t r, int32_t first_channel, int32_t n, float* y) const {
    const float* x[kMaxTaps];
    for (int32_t i = 0; i < op.n_taps; ++i) x[i] = input(r - n_inputs() + i, first_channel);
    backend.kernels().conv_silu(x, taps + first_channel, op.n_channels(), op.n_taps, n, y);
  }
  // Keeps the last inputs of these channels for the next step. Ascending: what moves down is read first.
  void keep_inputs(int32_t n_rows, int32_t first_channel, int32_t n) const {
    for (int32_t i = 0; i < n_inputs(); ++i)
      std::memmove(state.inputs + static_cast<int64_t>(i) * op.n_channels() + first_channel,
                   input(n_rows - n_inputs() + i, first_channel), n * sizeof(float));
  }
};

// Advances the state by n_rows - n_tentative rows and looks ahead through the others.
void DeltaNetStage::run_head(const Head& head, int32_t n_rows, int32_t n_tentative,
                             float* scratch) const noexcept {
  const Kernels& k = head.backend.kernels();
  const int32_t group = op_.n_v_heads / op_.n_k_heads, n_sure = n_rows - n_tentative;
  const int32_t q_channel = head.h * op_.head_k, k_channel = (op_.n_k_heads + head.h) * op_.head_k;
  const auto v_channel = [&](int32_t g) {
    return 2 * op_.n_k_heads * op_.head_k + head.value_head(g) * op_.head_v;
  };
  const float* a_scale = head.backend.weight(op_.a_scale).vector();
  const float* dt_bias = head.backend.weight(op_.dt_bias).vector();

  float* qk = scratch;                                 // [most_rows][2 head_k]: q, k
  float* v = qk + most_rows_ * 2 * op_.head_k;         // [most_rows][group head_v]
  float* decay = v + most_rows_ * group * op_.head_v;  // [group][most_rows]
  float* beta = decay + group * most_rows_;
  float* tile = beta + group * most_rows_;  // a copy of a tile of the state
  for (int32_t r0 = 0, n = 0; r0 < n_rows; r0 += n) {
    const bool ahead = r0 >= n_sure;
    n = ahead ? n_tentative : std::min(kChunk, n_sure - r0);
    for (int32_t t = 0; t < n; ++t) {
      float* q_row = qk + t * 2 * op_.head_k;
      head.convolve(r0 + t, q_channel, op_.head_k, q_row);
      head.convolve(r0 + t, k_channel, op_.head_k, q_row + op_.head_k);
      k.l2_norm(q_row, op_.head_k, op_.eps, 1.0f / std::sqrt(static_cast<float>(op_.head_k)));
      k.l2_norm(q_row + op_.head_k, op_.head_k, op_.eps, 1.0f);
      for (int32_t g = 0; g < group; ++g) {
        const int32_t j = head.value_head(g);
        head.convolve(r0 + t, v_channel(g), op_.head_v, v + (t * group + g) * op_.head_v);
        decay[g * most_rows_ + t] = exp_spec(a_scale[j] * softplus(head.a.row(r0 + t)[j] + dt_bias[j]));
        beta[g * most_rows_ + t] = 1.0f / (1.0f + exp_spec(-head.b.row(r0 + t)[j]));
      }
    }
    for (int32_t g = 0; g < group; ++g) {
      float nowhere[kDeltaTile];
      DeltaArgs d = {};
      d.head_k = op_.head_k;
      d.n_tokens = n;
      d.q = qk, d.k = qk + op_.head_k;
      d.qk_stride = 2 * op_.head_k;
      d.v_stride = group * op_.head_v;
      d.decay = decay + g * most_rows_, d.beta = beta + g * most_rows_;
      const int32_t j = head.value_head(g);
      for (int32_t i = 0; i < op_.head_v; i += kDeltaTile) {
        float* s = head.state.s + (static_cast<int64_t>(j) * op_.head_v + i) * op_.head_k;
        if (ahead) std::memcpy(tile, s, kDeltaTile * op_.head_k * sizeof(float));
        d.s = ahead ? tile : s;
        d.v = v + g * op_.head_v + i;
        d.o = head.out.data ? head.out.row(r0) + j * op_.head_v + i : nowhere;
        d.o_stride = head.out.data ? head.out.stride : 0;
        k.delta_tile(d);
      }
    }
  }
  head.keep_inputs(n_sure, q_channel, op_.head_k);
  head.keep_inputs(n_sure, k_channel, op_.head_k);
  for (int32_t g = 0; g < group; ++g) head.keep_inputs(n_sure, v_channel(g), op_.head_v);
}

void DeltaNetStage::run(CpuExecutable& exe, const StepContext& ctx) noexcept {
  const CpuBackend& be = exe.backend();
  const auto sequences = exe.sequence_rows();
  const Rows qkv = exe.rows(op_.qkv, ctx), a = exe.rows(op_.a, ctx), b = exe.rows(op_.b, ctx),
             out = exe.rows(op_.out, ctx);
  const auto from = [](const Rows& rows, int32_t r) { return Rows{rows.row(r), rows.stride}; };
  exe.backend().pool().run(static_cast<int>(sequences.size()) * op_.n_k_heads, [&](int task, int thread) {
    const SequenceRows& rows = sequences[task / op_.n_k_heads];
    const int32_t sequence = ctx.step->sequences[rows.first], h = task % op_.n_k_heads;
    const TentativeRows tentative = exe.tentative().empty() ? TentativeRows{} : exe.tentative()[sequence];
    run_head({op_, be, taps_.data(), h, be.state(ctx.step->states[sequence], op_.layer),
              from(qkv, rows.first), from(a, rows.first), from(b, rows.first), from(out, rows.first)},
             rows.n, tentative.n, exe.thread_scratch(thread));
    if (h > 0) return;
    for (int32_t i = 0; i < tentative.n; ++i) {
      const int32_t r = rows.first + rows.n - tentative.n + i;
      float* to = record(tentative.first + i, 0).data;
      std::memcpy(to, qkv.row(r), op_.n_channels() * sizeof(float));
      std::memcpy(to + op_.n_channels(), a.row(r), op_.n_v_heads * sizeof(float));
      std::memcpy(to + op_.n_channels() + op_.n_v_heads, b.row(r), op_.n_v_heads * sizeof(float));
    }
  });
}

void DeltaNetStage::keep(CpuExecutable& exe) noexcept {
  const CpuBackend& be = exe.backend();
  const auto kept = exe.tentative();
  exe.backend().pool().run(static_cast<int>(kept.size()) * op_.n_k_heads, [&](int task, int thread) {
    const TentativeRows& rows = kept[task / op_.n_k_heads];
    if (rows.n == 0) return;
    run_head(
        {op_, be, taps_.data(), task % op_.n_k_heads, be.state(rows.state, op_.layer), record(rows.first, 0),
         record(rows.first, op_.n_channels()), record(rows.first, op_.n_channels() + op_.n_v_heads), Rows{}},
        rows.n, 0, exe.thread_scratch(thread));
  });
}

}  // namespace moraine::cpu
