// Gated DeltaNet: one dispatch convolves and normalises every row's heads, one runs the recurrence, each of
// its workgroups a few rows of a head's state through all rows of a sequence. `keep` runs the same two over
// recorded rows.
#include <fmt/format.h>

#include <algorithm>

#include "backend/vulkan/op_recorder.h"

namespace moraine::vulkan {

constexpr int32_t kMaxHead = 1024;  // in delta_inputs.comp
constexpr int32_t kStateRows = 16;  // of a workgroup of 64 lanes: smaller ones divide it

void OpRecorder::operator()(const plan::GatedDeltaNet& op) {
  const bool records = !exe_.delta_records_.empty();
  const VulkanExecutable::DeltaRecord to =
      records ? exe_.delta_records_[next_delta_++] : VulkanExecutable::DeltaRecord{};
  const uint64_t base = records ? exe_.records_->address() : 0;
  delta_net(
      op,
      {at(op.qkv), at(op.a), at(op.b), at(op.out), {range(op.qkv), range(op.a), range(op.b)}, range(op.out)},
      base + to.qkv, base + to.a, base + to.b);
}

void OpRecorder::keep(const plan::GatedDeltaNet& op, size_t i) {
  const VulkanExecutable::DeltaRecord& r = exe_.delta_records_[i];
  const uint64_t base = exe_.records_->address();
  const Range all = {base, base + exe_.records_bytes_};
  delta_net(op, {base + r.qkv, base + r.a, base + r.b, 0, {all, all, all}, {0, 0}}, base + r.qkv, base + r.a,
            base + r.b);
}

void OpRecorder::delta_net(const plan::GatedDeltaNet& op, const DeltaSource& from, uint64_t record_qkv,
                           uint64_t record_a, uint64_t record_b) {
  if (op.head_k > kMaxHead || op.head_v > kMaxHead || op.head_k % 4 != 0 || op.head_v % kStateRows != 0)
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("Linear attention with heads of {} and {} values does not run on Vulkan: it takes "
                    "multiples of 4 and {} up to {}. Run on the CPU with -ngl 0.",
                    op.head_k, op.head_v, kStateRows, kMaxHead));
  const StateLayout::Layer& layer = exe_.backend_.state_layout().layers[op.layer];
  const uint64_t rows = std::max(exe_.limits_.max_rows, exe_.limits_.max_tentative);
  const Range heads = {work() + exe_.work_.heads, work() + exe_.work_.heads + 4 * rows * op.n_channels()};
  const Range gates = {work() + exe_.work_.gates, work() + exe_.work_.gates + 8 * rows * op.n_v_heads};
  // States lie all over memory; as a layer's cache, an address that no buffer has stands for them.
  const Range state = {uint64_t{1 << 20} + op.layer, uint64_t{1 << 20} + op.layer + 1};
  const uint64_t sequences = in_step(exe_.step_.sequences);
  struct {
    uint64_t qkv, a, b, taps, a_scale, dt_bias, heads, gates, sequences, sequence_of, inputs_offset;
    int32_t n_k_heads, n_v_heads, head_k, head_v, n_taps;
    float eps;
  } inputs = {
      from.qkv,           from.a,       from.b,       weight(op.conv), weight(op.a_scale),
      weight(op.dt_bias), heads.begin,  gates.begin,  sequences,       in_step(exe_.step_.sequence_of),
      layer.inputs,       op.n_k_heads, op.n_v_heads, op.head_k,       op.head_v,
      op.n_taps,          op.eps};
  Grid grid;
  grid.x = 2 * op.n_k_heads + op.n_v_heads;
  run(Shader::kDeltaInputs, grid, inputs, {from.ranges[0], from.ranges[1], from.ranges[2], state},
      {heads, gates});
  struct {
    uint64_t heads, gates, dst, qkv, a, b, record_qkv, record_a, record_b, sequences, s_offset, inputs_offset;
    int32_t n_k_heads, n_v_heads, head_v, n_inputs, tiled, unused;
  } rule = {heads.begin,  gates.begin,  from.dst,  from.qkv,      from.a,   from.b,
            record_qkv,   record_a,     record_b,  sequences,     layer.s,  layer.inputs,
            op.n_k_heads, op.n_v_heads, op.head_v, op.n_taps - 1, op.tiled, 0};
  const auto rows_of_state = static_cast<int32_t>(exe_.backend_.lanes() / 4);
  grid.x = op.n_v_heads * op.head_v / rows_of_state;
  grid.count = Count::kSequences;
  run(Shader::kDeltaRule, grid, rule, {heads, gates, from.ranges[0], from.ranges[1], from.ranges[2]},
      {state, from.out}, {static_cast<uint32_t>(op.head_k)});
}

void VulkanExecutable::record_keep() {
  keep_ = std::make_unique<Recording>(backend_.device());
  Recorder recorder(backend_.device(), backend_.pipelines().layout(), keep_->commands,
                    step_buffer_->handle());
  recorder.start();
  OpRecorder ops(*this, *keep_, recorder, true);
  size_t i = 0;
  for (const plan::Op& op : plan_.ops)
    if (const auto* net = std::get_if<plan::GatedDeltaNet>(&op)) ops.keep(*net, i++);
  recorder.finish();
  keep_->n_barriers = recorder.n_barriers();
  keep_->clock.emplace(keep_->commands.all().size());
}

}  // namespace moraine::vulkan
