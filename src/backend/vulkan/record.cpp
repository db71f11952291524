#include <fmt/format.h>

#include <algorithm>

#include "backend/vulkan/op_recorder.h"
#include "base/check.h"
#include "quant/interleave.h"

namespace moraine::vulkan {

int32_t quant_width(DType t) { return static_cast<int32_t>(quant::find_layout(t)->scale_width); }

uint64_t quantized_row_bytes(int32_t k, int32_t width) {
  return (uint64_t(k) + k / 4 + 4 * (k / width) + 15) / 16 * 16;
}

uint64_t OpRecorder::at(plan::ValueId v) const { return exe_.address_of(v); }

int32_t OpRecorder::max_rows(plan::ValueId v) const {
  return value(v).extent == plan::Extent::kRows ? exe_.limits_.max_rows : exe_.limits_.max_outputs;
}

Range OpRecorder::range(plan::ValueId v) const {
  return {at(v), at(v) + uint64_t(max_rows(v)) * stride(v) * sizeof(float)};
}

uint32_t OpRecorder::groups(int32_t n) const {
  return std::min(static_cast<uint32_t>((n + 7) / 8), exe_.backend_.device().max_workgroups_x());
}

void OpRecorder::record(const Fused& fused) {
  const std::span<const plan::Op> ops = std::span(exe_.plan_.ops).subspan(fused.first, fused.n);
  next_op_ = fused.first + fused.n;
  // What was quantised of values that are written is no longer theirs.
  for (const plan::Op& op : ops)
    plan::for_each_value(op, [this](plan::ValueId v, bool written) {
      if (!written) return;
      std::erase_if(quantized_, [v](const Quantized& q) { return q.value == v; });
      std::erase(without_floats_, v);
    });
  switch (fused.kind) {
    case Fused::Kind::kOne:
      std::visit(*this, ops[0]);
      break;
    case Fused::Kind::kProducts:
      products(ops);
      break;
    case Fused::Kind::kNorm:
      norm(std::get<plan::RmsNorm>(ops.back()), &std::get<plan::Add>(ops[fused.n - 2]),
           std::get_if<plan::RmsNorm>(&ops[0]));
      break;
    case Fused::Kind::kAttention:
      attention(std::get<plan::Attention>(ops.back()), begin_of(exe_.plan_, fused));
      break;
  }
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
  MORAINE_CHECK(!std::count(without_floats_.begin(), without_floats_.end(), v));  // its int8 was given up
  const Quantized& q = quantized_place(v, w);
  quantize(at(v), q.address, width(v), stride(v), w, rows_of(v, chunks(width(v))), range(v), q.range);
  return {q.address, static_cast<int32_t>(row_bytes), q.range};
}

OpRecorder::Written OpRecorder::written(plan::ValueId v, bool may_quantize) {
  Readers by;
  if (may_quantize && exe_.backend_.fuses())
    by = readers_of(exe_.plan_, v, next_op_, [this](plan::WeightId w) { return dtype(w); });
  Written out;
  out.keep = by.floats || by.quant_width == 0;
  out.quant_width = static_cast<uint32_t>(by.quant_width);
  if (out.keep)
    out.floats = range(v);
  else
    without_floats_.push_back(v);
  if (by.quant_width > 0) out.quant = quantized_place(v, by.quant_width).range;
  return out;
}

const OpRecorder::Quantized& OpRecorder::quantized_place(plan::ValueId v, int32_t w) {
  if (quantized_.size() == WorkLayout::kQuantSlots) quantized_.erase(quantized_.begin());
  // Slots are taken in turn, so that the one taken is the oldest.
  const uint64_t address = work() + exe_.work_.quant + next_slot_ * exe_.work_.quant_slot_bytes;
  next_slot_ = (next_slot_ + 1) % WorkLayout::kQuantSlots;
  std::erase_if(quantized_, [address](const Quantized& q) { return q.address == address; });
  const uint64_t bytes = max_rows(v) * quantized_row_bytes(width(v), w);
  return quantized_.emplace_back(v, w, address, Range{address, address + bytes});
}

void OpRecorder::operator()(const plan::Embed& op) {
  struct {
    uint64_t table, tokens, dst;
    int32_t width, stride;
    float scale;
    int32_t unused;
  } push = {
      weight(op.table), in_step(exe_.step_.tokens), at(op.out), width(op.out), stride(op.out), op.scale, 0};
  Grid grid = rows_of(op.out, chunks(width(op.out)));
  grid.weight_bytes = dtype_bytes(dtype(op.table), width(op.out));
  run(Shader::kEmbed, grid, push, {}, {range(op.out)}, {static_cast<uint32_t>(dtype(op.table))});
}

void OpRecorder::operator()(const plan::RmsNorm& op) { norm(op, nullptr, nullptr); }

void OpRecorder::norm(const plan::RmsNorm& op, const plan::Add* add, const plan::RmsNorm* added) {
  const bool whole = op.group == width(op.in) && op.group <= kMaxQuantizedRow;
  const Written out = written(op.out, whole);
  const plan::ValueId y = added ? added->in : add ? add->in : op.in;
  struct {
    uint64_t x, y, y_weight, dst, weight, quant;
    int32_t group, stride;
    float y_eps, eps;
  } push = {at(op.in),
            at(y),
            added ? weight(added->weight) : 0,
            at(op.out),
            weight(op.weight),
            out.quant.begin,
            op.group,
            stride(op.in),
            added ? added->eps : 0,
            op.eps};
  run(Shader::kRmsNorm, rows_of(op.out, width(op.in) / op.group), push, {range(op.in), range(y)},
      {out.floats, add ? range(op.in) : Range{}, out.quant},
      {added ? 2u
       : add ? 1u
             : 0u,
       out.quant_width, out.keep});
}

void OpRecorder::products(std::span<const plan::Op> ops) {
  struct {
    uint64_t weight[kMaxProducts], bias[kMaxProducts], x[kMaxProducts], dst[kMaxProducts], n_rows_at;
    int32_t n[kMaxProducts], k;
  } push = {};
  static_assert(kMaxProducts == 3);
  std::array<uint32_t, kMaxProducts> formats = {~0u, ~0u, ~0u};
  std::array<Range, kMaxProducts> reads, writes;
  int32_t n_groups = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < ops.size(); ++i) {
    const auto& op = std::get<plan::Matmul>(ops[i]);
    const Activations x = activations(op.in, dtype(op.weight));
    push.weight[i] = weight(op.weight);
    push.bias[i] = op.bias == plan::kNoWeight ? 0 : weight(op.bias);
    push.x[i] = x.address;
    push.dst[i] = at(op.out);
    push.n[i] = width(op.out);
    formats[i] = static_cast<uint32_t>(dtype(op.weight));
    reads[i] = x.range, writes[i] = range(op.out);
    n_groups += (width(op.out) + 7) / 8;
    bytes += bytes_of(op.weight);
  }
  const auto& op = std::get<plan::Matmul>(ops[0]);
  push.n_rows_at = count_address(count_of(value(op.out).extent));
  push.k = width(op.in);
  Grid grid = rows_of(op.out, groups(8 * n_groups), tile());
  grid.weight_bytes = bytes;
  run(Shader::kProducts, grid, push, {reads[0], reads[1], reads[2]}, {writes[0], writes[1], writes[2]},
      {formats[0], formats[1], tile(), formats[2]});
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
  Grid grid = rows_of(out, groups(width(out)), tile());
  grid.weight_bytes = bytes_of(w) + bytes_of(up);
  run(Shader::kMatmul, grid, push, {x.range, x_up.range}, {range(out)},
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

void OpRecorder::operator()(const plan::Gate& op) {
  const Written x = written(op.inout);
  struct {
    uint64_t x, gate, quant;
    int32_t width, stride, gate_stride, each;
  } push = {at(op.inout),     at(op.gate),     x.quant.begin,      width(op.inout),
            stride(op.inout), stride(op.gate), width(op.gate) != 1};
  run(Shader::kGate, rows_of(op.inout, chunks(width(op.inout))), push, {range(op.gate), range(op.inout)},
      {x.floats, x.quant}, {op.kind == plan::GateKind::kSilu, x.quant_width, x.keep});
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
  for (const Fused& f : fused_) {
    ops.record(f);
    const auto first = plan_.ops.begin() + static_cast<ptrdiff_t>(f.first);
    if (std::any_of(first, first + static_cast<ptrdiff_t>(f.n),
                    [](const plan::Op& op) { return std::holds_alternative<plan::Add>(op); }))
      recorder.cut();  // twice a layer
  }
  recorder.finish();
  recording.n_barriers = recorder.n_barriers();
  recording.clock.emplace(recording.commands.all().size());
}

}  // namespace moraine::vulkan
