#include <fmt/format.h>

#include <algorithm>

#include "backend/vulkan/op_recorder.h"
#include "quant/interleave.h"

namespace moraine::vulkan {

int32_t quant_width(DType t) { return static_cast<int32_t>(quant::find_layout(t)->scale_width); }

uint64_t quantized_row_bytes(int32_t k, int32_t width) {
  return (uint64_t(k) + k / 4 + 4 * (k / width) + 15) / 16 * 16;
}

uint64_t OpRecorder::at(plan::ValueId v) const {
  return exe_.address_of(v);
}

int32_t OpRecorder::max_rows(plan::ValueId v) const {
  return value(v).extent == plan::Extent::kRows ? exe_.limits_.max_rows : exe_.limits_.max_outputs;
}

Range OpRecorder::range(plan::ValueId v) const {
  return {at(v), at(v) + uint64_t(max_rows(v)) * stride(v) * sizeof(float)};
}

uint32_t OpRecorder::groups(int32_t n) const {
  return std::min(static_cast<uint32_t>((n + 7) / 8), exe_.backend_.device().max_workgroups_x());
}

void OpRecorder::done(const plan::Op& op) {
  plan::for_each_value(op, [this](plan::ValueId v, bool written) {
    if (written) std::erase_if(quantized_, [v](const Quantized& q) { return q.value == v; });
  });
}

void OpRecorder::quantize(uint64_t src, uint64_t dst, int32_t k, int32_t stride, int32_t width,
                          const Grid& grid, Range read, Range written) {
  struct {
    uint64_t src, dst;
    int32_t k, stride, width, unused;
  } push = {src, dst, k, stride, width, 0};
  run(Shader::kQuantize, grid, push, {read}, {written});
}

OpRecorder::Activations OpRecorder::activations(plan::ValueId v, DType type) {
  const int32_t w = quant_width(type);
  if (w == 0) return {at(v), static_cast<int32_t>(stride(v) * sizeof(float)), range(v)};
  const uint64_t row_bytes = quantized_row_bytes(width(v), w);
  for (const Quantized& q : quantized_)
    if (q.value == v && q.width == w) return {q.address, static_cast<int32_t>(row_bytes), q.range};
  if (quantized_.size() == WorkLayout::kQuantSlots) quantized_.erase(quantized_.begin());
  // Slots are taken in turn, so that the one taken is the oldest.
  const uint64_t address = work() + exe_.work_.quant + next_slot_ * exe_.work_.quant_slot_bytes;
  next_slot_ = (next_slot_ + 1) % WorkLayout::kQuantSlots;
  std::erase_if(quantized_, [address](const Quantized& q) { return q.address == address; });
  const Range to = {address, address + max_rows(v) * row_bytes};
  quantize(at(v), address, width(v), stride(v), w, rows_of(v, chunks(width(v))), range(v), to);
  quantized_.push_back({v, w, address, to});
  return {address, static_cast<int32_t>(row_bytes), to};
}

void OpRecorder::operator()(const plan::Embed& op) {
  struct {
    uint64_t table, tokens, dst;
    int32_t width, stride;
    float scale;
    int32_t unused;
  } push = {
      weight(op.table), in_step(exe_.step_.tokens), at(op.out), width(op.out), stride(op.out), op.scale, 0};
  run(Shader::kEmbed, rows_of(op.out, chunks(width(op.out))), push, {}, {range(op.out)},
      {static_cast<uint32_t>(dtype(op.table))});
}

void OpRecorder::operator()(const plan::RmsNorm& op) {
  struct {
    uint64_t src, dst, weight;
    int32_t group, stride;
    float eps;
    int32_t unused;
  } push = {at(op.in), at(op.out), weight(op.weight), op.group, stride(op.in), op.eps, 0};
  run(Shader::kRmsNorm, rows_of(op.out, width(op.in) / op.group), push, {range(op.in)}, {range(op.out)});
}

void OpRecorder::product(plan::ValueId in, plan::ValueId out, plan::WeightId w, plan::WeightId up,
                         plan::WeightId bias, plan::Activation act) {
  const bool gated = up != plan::kNoWeight;
  const Activations x = activations(in, dtype(w)), x_up = gated ? activations(in, dtype(up)) : x;
  struct {
    uint64_t weight, up, bias, x, x_up, dst, tiles, pair_at;
    int32_t n, k, x_stride, x_up_stride, dst_stride, top_k;
  } push = {weight(w),
            gated ? weight(up) : 0,
            bias == plan::kNoWeight ? 0 : weight(bias),
            x.address,
            x_up.address,
            at(out),
            count_address(count_of(value(out).extent)),
            0,
            width(out),
            width(in),
            x.stride,
            x_up.stride,
            stride(out),
            1};
  run(Shader::kMatmul, rows_of(out, groups(width(out)), tile()), push, {x.range, x_up.range}, {range(out)},
      {static_cast<uint32_t>(dtype(w)), gated ? static_cast<uint32_t>(dtype(up)) : ~0u, tile(), 0,
       act == plan::Activation::kGeluTanh});
}

void OpRecorder::operator()(const plan::Matmul& op) {
  product(op.in, op.out, op.weight, plan::kNoWeight, op.bias, plan::Activation::kSilu);
}

void OpRecorder::operator()(const plan::GatedFfn& op) {
  product(op.in, op.out, op.gate, op.up, plan::kNoWeight, op.act);
}

void OpRecorder::operator()(const plan::Rope& op) {
  struct {
    uint64_t x, table;
    int32_t stride, head_dim, n_pairs, adjacent;
  } push = {at(op.inout),        in_step(exe_.step_.ropes[exe_.rope_index(op.params)]),
            stride(op.inout),    op.head_dim,
            op.params.n_rot / 2, op.params.kind == plan::RopeKind::kAdjacent};
  run(Shader::kRope, rows_of(op.inout, op.n_heads), push, {}, {range(op.inout)});
}

void OpRecorder::operator()(const plan::Attention& op) {
  if (op.head_dim > kMaxHeadDim)
    throw Error(ErrorCode::kUnsupported,
                fmt::format("Attention heads of {} values do not run on Vulkan: it takes up to {}. Run on "
                            "the CPU with -ngl 0.",
                            op.head_dim, kMaxHeadDim));
  const plan::KvLayout::Layer& kv = exe_.backend_.kv().layers[op.layer];
  const uint64_t positions = in_step(exe_.step_.positions), sequence_of = in_step(exe_.step_.sequence_of),
                 sequences = in_step(exe_.step_.sequences), pages = in_step(exe_.step_.pages);
  const auto format_k = static_cast<uint32_t>(exe_.backend_.kv_type_k());
  const auto format_v = static_cast<uint32_t>(exe_.backend_.kv_type_v());
  // A layer's cache lies in pages all over memory; addresses this low stand for it, as no buffer has them.
  const Range cache = {static_cast<uint64_t>(op.layer), static_cast<uint64_t>(op.layer) + 1};
  struct {
    uint64_t k, v, positions, sequence_of, sequences, pages, k_offset, v_offset;
    int32_t stride, head_dim;
  } store = {at(op.k), at(op.v), positions, sequence_of,  sequences,
             pages,    kv.k,     kv.v,      stride(op.k), op.head_dim};
  run(Shader::kStoreKv, rows_of(op.k, op.n_kv_heads), store, {range(op.k), range(op.v)}, {cache},
      {format_k, format_v});

  const bool split = few_ && exe_.work_.most_partitions > 1;
  const uint64_t partials = work() + exe_.work_.partials;
  struct {
    uint64_t q, dst, positions, sequence_of, sequences, pages, k_offset, v_offset, partials;
    int32_t stride, heads_per_kv, window, most_partitions;
    float scale;
    int32_t unused;
  } attend = {at(op.q),
              at(op.out),
              positions,
              sequence_of,
              sequences,
              pages,
              kv.k,
              kv.v,
              partials,
              stride(op.q),
              op.n_heads / op.n_kv_heads,
              op.window,
              exe_.work_.most_partitions,
              op.scale,
              0};
  Grid grid = rows_of(op.out, op.n_heads);
  grid.by_partition = split;
  const uint64_t rows = std::min(exe_.limits_.max_rows, kFewRows);
  const Range parts = {partials, partials + rows * op.n_heads * exe_.work_.most_partitions *
                                                (op.head_dim + 2) * sizeof(float)};
  run(Shader::kAttend, grid, attend, {range(op.q), cache}, {split ? parts : range(op.out)},
      {format_k, format_v, static_cast<uint32_t>(op.head_dim), split});
  if (!split) return;
  struct {
    uint64_t partials, dst, positions;
    int32_t stride, head_dim, window, most_partitions;
  } merge = {
      partials, at(op.out), positions, stride(op.out), op.head_dim, op.window, exe_.work_.most_partitions};
  run(Shader::kMergePartitions, rows_of(op.out, op.n_heads), merge, {parts}, {range(op.out)});
}

void OpRecorder::operator()(const plan::Gate& op) {
  struct {
    uint64_t x, gate;
    int32_t width, stride, gate_stride, each, use_silu, unused;
  } push = {at(op.inout),
            at(op.gate),
            width(op.inout),
            stride(op.inout),
            stride(op.gate),
            width(op.gate) != 1,
            op.kind == plan::GateKind::kSilu,
            0};
  run(Shader::kGate, rows_of(op.inout, chunks(width(op.inout))), push, {range(op.gate)}, {range(op.inout)});
}

void OpRecorder::operator()(const plan::Add& op) {
  struct {
    uint64_t x, y;
    int32_t width, stride;
  } push = {at(op.inout), at(op.in), width(op.inout), stride(op.inout)};
  run(Shader::kAdd, rows_of(op.inout, chunks(width(op.inout))), push, {range(op.in)}, {range(op.inout)});
}

void OpRecorder::operator()(const plan::GatherOutputs& op) {
  struct {
    uint64_t src, dst, rows;
    int32_t width, stride;
  } push = {at(op.in), at(op.out), in_step(exe_.step_.output_rows), width(op.in), stride(op.in)};
  run(Shader::kGather, rows_of(op.out, chunks(width(op.out))), push, {range(op.in)}, {range(op.out)});
}

void VulkanExecutable::record(Recording& recording, bool few) {
  Recorder recorder(backend_.device(), backend_.pipelines().layout(), recording.commands,
                    step_buffer_->handle());
  recorder.start();
  OpRecorder ops(*this, recording, recorder, few);
  for (const plan::Op& op : plan_.ops) {
    std::visit(ops, op);
    ops.done(op);
    if (std::holds_alternative<plan::Add>(op)) recorder.cut();  // twice a layer
  }
  recorder.finish();
  recording.n_barriers = recorder.n_barriers();
  recording.clock.emplace(recording.commands.all().size());
}

}  // namespace moraine::vulkan
