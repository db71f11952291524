#include "backend/vulkan/executable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "backend/vulkan/op_recorder.h"
#include "base/check.h"

namespace moraine::vulkan {
namespace {

constexpr int32_t kMaxGroupsY = 65535;  // workgroups a dispatch may have in y on every device
constexpr int kMaxDispatches = 12;      // of one op

// Hands out ranges of a buffer, each aligned.
struct Carver {
  uint64_t at = 0;
  uint64_t take(uint64_t bytes) {
    const uint64_t begin = at;
    at = (at + bytes + 255) / 256 * 256;
    return begin;
  }
};

}  // namespace

VulkanExecutable::VulkanExecutable(VulkanBackend& backend, const plan::Plan& plan,
                                   const plan::StepLimits& limits)
    : backend_(backend),
      plan_(plan),
      limits_(limits),
      submission_(backend.device(), backend.slice_seconds()) {
  int64_t most = std::max(limits.max_rows, limits.max_outputs);
  for (const plan::Op& op : plan.ops) {
    reads_cache_ |= std::holds_alternative<plan::Attention>(op);
    has_state_ |= std::holds_alternative<plan::GatedDeltaNet>(op);
    if (const auto* moe = std::get_if<plan::Moe>(&op))
      most = std::max<int64_t>(most, int64_t{limits.max_rows} * moe->top_k + moe->n_experts);
  }
  if (most > kMaxGroupsY)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("A step of {} rows is more than Vulkan takes at once "
                            "({} of {}); lower -ub.",
                            limits.max_rows, kMaxGroupsY, most));
  fused_ = fuse(plan, backend.fuses());
  const std::vector<int> phases = phases_of(fused_);
  exchanged_.resize(plan.values.size());
  for (const plan::Op& op : plan.ops)
    if (std::holds_alternative<plan::Exchange>(op))
      plan::for_each_value(op, [this](plan::ValueId v, bool) { exchanged_[v] = true; });
  scratch_layout_ = plan::lay_out_scratch(plan, limits.max_rows, limits.max_outputs, phases, exchanged_);
  std::vector<bool> others = exchanged_;
  others.flip();
  exchange_layout_ = plan::lay_out_scratch(plan, limits.max_rows, limits.max_outputs, phases, others);
  find_ropes();
  lay_out_step();
  lay_out_work();
  lay_out_records();
  uint64_t logits_bytes = 0;
  if (plan.output >= 0) {
    const plan::Value& out = plan.values[plan.output];
    const uint64_t max_out = out.extent == plan::Extent::kRows ? limits.max_rows : limits.max_outputs;
    logits_bytes = max_out * plan::row_stride(out.width) * sizeof(float);
  }
  bytes_ = scratch_layout_.size_bytes + work_.size + step_.size + records_bytes_ +
           exchange_layout_.size_bytes + logits_bytes;
  if (!backend.has_weights()) return;
  Device& device = backend.device();
  scratch_ = std::make_unique<Buffer>(device, scratch_layout_.size_bytes + work_.size, backend.memory_use(),
                                      "activations");
  step_buffer_ = std::make_unique<Buffer>(device, step_.size, MemoryUse::kUpload, "step inputs");
  if (logits_bytes > 0)
    logits_ = std::make_unique<Buffer>(device, logits_bytes, MemoryUse::kReadback, "logits");
  if (exchange_layout_.size_bytes > 0)
    exchange_ = std::make_unique<Buffer>(device, exchange_layout_.size_bytes, MemoryUse::kReadback,
                                         "what it shares with the CPU");
  if (records_bytes_ > 0)
    records_ = std::make_unique<Buffer>(device, records_bytes_, backend.memory_use(), "drafted rows");
  tentative_.reserve(limits.max_rows);
  few_ = std::make_unique<Recording>(device);
  record(*few_, true);
  if (std::max(limits.max_rows, limits.max_outputs) > kFewRows) {
    many_ = std::make_unique<Recording>(device);
    record(*many_, false);
  }
  if (records_) record_keep();
}

const VulkanExecutable::Recording& VulkanExecutable::recording_for(int32_t rows) const {
  return rows <= kFewRows ? *few_ : *many_;
}

uint64_t VulkanExecutable::weight_bytes_read(int32_t rows, int32_t outputs) const {
  uint64_t bytes = 0;
  for (const Grid& g : recording_for(std::max(rows, outputs)).grids)
    bytes += g.weight_bytes * g.height(static_cast<uint64_t>(g.count == Count::kOutputs ? outputs : rows));
  return bytes;
}

size_t VulkanExecutable::rope_index(const plan::RopeParams& params) const {
  size_t i = 0;
  while (i < ropes_.size() && !plan::same_angles(ropes_[i].params, params)) ++i;
  return i;
}

void VulkanExecutable::find_ropes() {
  for (const plan::Op& op : plan_.ops)
    if (const auto* rope = std::get_if<plan::Rope>(&op); rope && rope_index(rope->params) == ropes_.size()) {
      const plan::WeightId factors = rope->params.freq_factors;
      ropes_.push_back(
          {rope->params, plan::rope_frequencies(
                             rope->params, factors == plan::kNoWeight || backend_.weight(factors).host.empty()
                                               ? nullptr
                                               : backend_.weight(factors).host.data())});
    }
}

void VulkanExecutable::lay_out_step() {
  Carver c;
  // `keep` writes its own rows and sequences in the step's place.
  const uint64_t rows = std::max(limits_.max_rows, limits_.max_tentative), outputs = limits_.max_outputs;
  step_.counts = c.take(kNumCounts * sizeof(int32_t));
  step_.arguments = c.take(kMaxDispatches * plan_.ops.size() * sizeof(VkDispatchIndirectCommand));
  step_.tokens = c.take(rows * sizeof(int32_t));
  step_.positions = c.take(rows * sizeof(int32_t));
  step_.sequence_of = c.take(rows * sizeof(int32_t));
  step_.sequences = c.take(rows * sizeof(SequenceInfo));
  step_.output_rows = c.take(outputs * sizeof(int32_t));
  // At worst each row belongs to another sequence of full length.
  step_.max_pages = rows * ((limits_.max_context + plan::kPageTokens - 1) / plan::kPageTokens);
  step_.pages = c.take(reads_cache_ ? step_.max_pages * sizeof(uint64_t) : 0);
  for (const RopeTable& t : ropes_) step_.ropes.push_back(c.take(rows * 2 * t.freq.size() * sizeof(float)));
  step_.size = c.at;
}

void VulkanExecutable::lay_out_work() {
  const uint64_t rows = limits_.max_rows, few = std::min(limits_.max_rows, kFewRows);
  const auto quantized = [&](plan::ValueId in) {
    const plan::Value& v = plan_.values[in];
    const uint64_t n = v.extent == plan::Extent::kRows ? limits_.max_rows : limits_.max_outputs;
    work_.quant_slot_bytes = std::max(work_.quant_slot_bytes, n * quantized_row_bytes(v.width, 32));
  };
  work_.most_partitions = std::max(1, (limits_.max_context - 1) / kPartition + 1);
  uint64_t partials = 0, pairs = 0, experts = 0, n_ff = 0, n_embd = 0, heads = 0, gates = 0;
  for (const plan::Op& op : plan_.ops) {
    if (const auto* matmul = std::get_if<plan::Matmul>(&op)) quantized(matmul->in);
    if (const auto* ffn = std::get_if<plan::GatedFfn>(&op)) quantized(ffn->in);
    if (const auto* a = std::get_if<plan::Attention>(&op); a && work_.most_partitions > 1)
      partials = std::max(partials, few * a->n_heads * work_.most_partitions * (a->head_dim + 2));
    if (const auto* moe = std::get_if<plan::Moe>(&op)) {
      quantized(moe->in);
      pairs = std::max(pairs, rows * moe->top_k);
      experts = std::max<uint64_t>(experts, moe->n_experts);
      n_ff = std::max<uint64_t>(n_ff, moe->n_ff);
      n_embd = std::max<uint64_t>(n_embd, plan_.values[moe->in].width);
    }
    if (const auto* net = std::get_if<plan::GatedDeltaNet>(&op)) {
      const uint64_t n = std::max(limits_.max_rows, limits_.max_tentative);
      heads = std::max(heads, n * net->n_channels());
      gates = std::max(gates, n * 2 * net->n_v_heads);
    }
  }
  Carver c;
  work_.quant_slot_bytes = (work_.quant_slot_bytes + 255) / 256 * 256;
  work_.quant = c.take(WorkLayout::kQuantSlots * work_.quant_slot_bytes);
  work_.partials = c.take(partials * sizeof(float));
  if (pairs > 0) {
    work_.expert = c.take(pairs * sizeof(int32_t));
    work_.expert_weight = c.take(pairs * sizeof(float));
    work_.pair_at = c.take(pairs * sizeof(int32_t));
    work_.place = c.take(pairs * sizeof(int32_t));
    work_.tiles = c.take((1 + experts + pairs / std::min(kFewTile, kManyTile)) * 4 * sizeof(int32_t));
    work_.hidden = c.take(pairs * n_ff * sizeof(float));
    work_.hidden_quant = c.take(pairs * quantized_row_bytes(static_cast<int32_t>(n_ff), 32));
    work_.products = c.take(pairs * n_embd * sizeof(float));
  }
  work_.heads = c.take(heads * sizeof(float));
  work_.gates = c.take(gates * sizeof(float));
  work_.size = c.at;
}

void VulkanExecutable::lay_out_records() {
  if (limits_.max_tentative == 0) return;
  Carver c;
  const uint64_t rows = limits_.max_tentative;
  for (const plan::Op& op : plan_.ops)
    if (const auto* net = std::get_if<plan::GatedDeltaNet>(&op)) {
      const auto take = [&](int32_t width) { return c.take(rows * plan::row_stride(width) * sizeof(float)); };
      const uint64_t qkv = take(net->n_channels()), a = take(net->n_v_heads), b = take(net->n_v_heads);
      delta_records_.push_back({qkv, a, b});
    }
  records_bytes_ = c.at;
}

// Host memory that the device reads may be uncached: it is written in order and never read.
void VulkanExecutable::write_counts(const Recording& recording) noexcept {
  std::copy_n(counts_, kNumCounts, in_step<int32_t>(step_.counts));
  auto* arguments = in_step<VkDispatchIndirectCommand>(step_.arguments);
  for (const Grid& g : recording.grids) {
    const uint32_t y = g.height(static_cast<uint64_t>(counts_[static_cast<int>(g.count)]));
    *arguments++ = {g.x, y, g.by_partition ? static_cast<uint32_t>(n_partitions_) : 1};
  }
}

int32_t VulkanExecutable::write_sequences(const plan::Step& step) noexcept {
  const auto n_rows = static_cast<int32_t>(step.tokens.size());
  auto* sequence_of = in_step<int32_t>(step_.sequence_of);
  auto* sequences = in_step<SequenceInfo>(step_.sequences);
  auto* pages = in_step<uint64_t>(step_.pages);
  tentative_.clear();
  int32_t record = 0;
  for (size_t i = 0; i < step.tentative.size(); ++i) {
    tentative_.push_back({step.states.empty() ? -1 : step.states[i], record, step.tentative[i]});
    record += step.tentative[i];
  }
  MORAINE_CHECK(record <= limits_.max_tentative);
  n_partitions_ = 1;
  int32_t n_sequences = 0;
  uint64_t n_pages = 0;
  for (int32_t first = 0, end = 0; first < n_rows; first = end) {
    const int32_t s = step.sequences[first];
    while (end < n_rows && step.sequences[end] == s) sequence_of[end++] = n_sequences;
    SequenceInfo info = {};
    info.first = first, info.n = end - first;
    const bool looks_ahead = has_state_ && static_cast<size_t>(s) < tentative_.size();
    info.n_sure = info.n - (looks_ahead ? tentative_[s].n : 0);
    info.record = looks_ahead ? tentative_[s].record : 0;
    info.table = static_cast<int32_t>(n_pages);
    if (has_state_) info.state = backend_.state_address(step.states[s]);
    if (reads_cache_) {
      const int32_t last = step.positions[end - 1];
      const uint64_t need = last / plan::kPageTokens + 1;
      n_partitions_ = std::max(n_partitions_, last / kPartition + 1);
      MORAINE_CHECK(need <= step.page_tables[s].size() && n_pages + need <= step_.max_pages);
      for (uint64_t i = 0; i < need; ++i) pages[n_pages++] = backend_.page_address(step.page_tables[s][i]);
    }
    sequences[n_sequences++] = info;
  }
  return n_sequences;
}

void VulkanExecutable::write_step(const plan::Step& step, const Recording& recording) noexcept {
  const size_t n_rows = step.tokens.size();
  std::copy(step.tokens.begin(), step.tokens.end(), in_step<TokenId>(step_.tokens));
  std::copy(step.positions.begin(), step.positions.end(), in_step<int32_t>(step_.positions));
  std::copy(step.output_rows.begin(), step.output_rows.end(), in_step<int32_t>(step_.output_rows));
  counts_[static_cast<int>(Count::kRows)] = static_cast<int32_t>(n_rows);
  counts_[static_cast<int>(Count::kOutputs)] = static_cast<int32_t>(step.output_rows.size());
  counts_[static_cast<int>(Count::kSequences)] = write_sequences(step);
  write_counts(recording);
  for (size_t t = 0; t < ropes_.size(); ++t) {
    const size_t n = ropes_[t].freq.size();
    auto* angles = in_step<float>(step_.ropes[t]);
    for (size_t r = 0; r < n_rows; ++r, angles += 2 * n)
      plan::fill_rope_row(ropes_[t].params, ropes_[t].freq, step.positions[r], angles, angles + n);
  }
}

namespace {

plan::Status status_of(VkResult r) noexcept {
  switch (r) {
    case VK_SUCCESS:
      return plan::Status::kOk;
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
      return plan::Status::kOutOfMemory;
    default:
      return plan::Status::kDeviceLost;  // the only other failure a submission and its wait have
  }
}

}  // namespace

uint64_t VulkanExecutable::address_of(plan::ValueId v) const {
  if (v == plan_.output) return logits_->address();
  if (exchanged_[v]) return exchange_->address() + exchange_layout_.offsets[v];
  return scratch_->address() + scratch_layout_.offsets[v];
}

VkResult VulkanExecutable::run_part(Recording& recording, size_t part) noexcept {
  const auto pieces = recording.commands.all();
  const size_t first = part == 0 ? 0 : recording.pauses[part - 1];
  const size_t end = part < recording.pauses.size() ? recording.pauses[part] : pieces.size();
  return submission_.run(pieces, first, end, counts_[static_cast<int>(Count::kRows)], *recording.clock);
}

plan::Status VulkanExecutable::submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept {
  MORAINE_CHECK(few_ && static_cast<int32_t>(step.tokens.size()) <= limits_.max_rows);
  MORAINE_CHECK(static_cast<int32_t>(step.output_rows.size()) <= limits_.max_outputs);
  const auto rows = static_cast<int32_t>(std::max(step.tokens.size(), step.output_rows.size()));
  running_ = {rows <= kFewRows ? few_.get() : many_.get(), 0, logits, logits_stride};
  write_step(step, *running_.recording);
  return resume();
}

plan::Status VulkanExecutable::resume() noexcept {
  Recording& recording = *running_.recording;
  const size_t part = running_.part++;
  if (const plan::Status s = status_of(run_part(recording, part)); s != plan::Status::kOk) return s;
  if (part == recording.pauses.size() && logits_) read_logits();
  return plan::Status::kOk;
}

void VulkanExecutable::read_logits() noexcept {
  const plan::Value& out = plan_.values[plan_.output];
  const int32_t n =
      counts_[static_cast<int>(out.extent == plan::Extent::kRows ? Count::kRows : Count::kOutputs)];
  const auto* from = reinterpret_cast<const float*>(logits_->mapped());
  for (int32_t r = 0; r < n; ++r)
    std::memcpy(running_.logits + r * running_.logits_stride, from + int64_t{r} * plan::row_stride(out.width),
                out.width * sizeof(float));
}

float* VulkanExecutable::exchange(plan::ValueId v) noexcept {
  return reinterpret_cast<float*>(exchange_->mapped() + exchange_layout_.offsets[v]);
}

void VulkanExecutable::keep(std::span<const int32_t> rows) noexcept {
  if (!keep_ || std::all_of(rows.begin(), rows.end(), [](int32_t n) { return n == 0; })) return;
  MORAINE_CHECK(rows.size() == tentative_.size());
  auto* sequence_of = in_step<int32_t>(step_.sequence_of);
  auto* sequences = in_step<SequenceInfo>(step_.sequences);
  int32_t n_rows = 0, n_sequences = 0;
  for (size_t s = 0; s < tentative_.size(); ++s) {
    const Tentative& t = tentative_[s];
    if (t.n == 0) continue;
    MORAINE_CHECK(rows[s] <= t.n);
    // Rows that did not hold are prepared too, and read by nobody.
    for (int32_t i = 0; i < t.n; ++i) sequence_of[n_rows++] = n_sequences;
    SequenceInfo info = {};
    info.first = t.record, info.n = info.n_sure = rows[s];
    info.state = backend_.state_address(t.state);
    sequences[n_sequences++] = info;
  }
  counts_[static_cast<int>(Count::kRows)] = n_rows;
  counts_[static_cast<int>(Count::kOutputs)] = 0;
  counts_[static_cast<int>(Count::kSequences)] = n_sequences;
  write_counts(*keep_);
  run_part(*keep_, 0);
}

}  // namespace moraine::vulkan
