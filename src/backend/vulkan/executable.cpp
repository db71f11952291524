#include "backend/vulkan/executable.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace moraine::vulkan {

constexpr int32_t kMaxRows = 65535;  // workgroups a dispatch may have in y on every device

VulkanExecutable::VulkanExecutable(VulkanBackend& backend, const plan::Plan& plan,
                                   const plan::StepLimits& limits)
    : backend_(backend),
      plan_(plan),
      limits_(limits),
      commands_(backend.device()),
      submission_(backend.device(), backend.slice_seconds()) {
  if (limits.max_rows > kMaxRows || limits.max_outputs > kMaxRows)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("A step of {} rows is more than Vulkan takes at once ({}); lower -ub.",
                            std::max(limits.max_rows, limits.max_outputs), kMaxRows));
  scratch_layout_ = plan::lay_out_scratch(plan, limits.max_rows, limits.max_outputs);
  find_ropes();
  lay_out_step();
  for (const plan::Op& op : plan.ops) reads_cache_ |= std::holds_alternative<plan::Attention>(op);
  const plan::Value& out = plan.values[plan.output];
  const uint64_t max_out = out.extent == plan::Extent::kRows ? limits.max_rows : limits.max_outputs;
  const uint64_t logits_bytes = max_out * plan::row_stride(out.width) * sizeof(float);
  bytes_ = scratch_layout_.size_bytes + step_.size + logits_bytes;
  if (!backend.has_weights()) return;
  Device& device = backend.device();
  scratch_ =
      std::make_unique<Buffer>(device, scratch_layout_.size_bytes, backend.memory_use(), "activations");
  step_buffer_ = std::make_unique<Buffer>(device, step_.size, MemoryUse::kUpload, "step inputs");
  logits_ = std::make_unique<Buffer>(device, logits_bytes, MemoryUse::kReadback, "logits");
  record();
  clock_.emplace(commands_.all().size());
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
  uint64_t at = 0;
  const auto take = [&](uint64_t bytes) {
    const uint64_t begin = at;
    at = (at + bytes + 63) / 64 * 64;
    return begin;
  };
  const uint64_t rows = limits_.max_rows, outputs = limits_.max_outputs;
  step_.counts = take(2 * sizeof(int32_t));
  step_.arguments =
      take(2 * plan_.ops.size() * sizeof(VkDispatchIndirectCommand));  // no op has more than two
  step_.tokens = take(rows * sizeof(int32_t));
  step_.positions = take(rows * sizeof(int32_t));
  step_.tables = take(rows * sizeof(int32_t));
  step_.output_rows = take(outputs * sizeof(int32_t));
  // At worst each row belongs to another sequence of full length.
  step_.max_pages = rows * ((limits_.max_context + plan::kPageTokens - 1) / plan::kPageTokens);
  step_.pages = take(step_.max_pages * sizeof(uint64_t));
  for (const RopeTable& t : ropes_) step_.ropes.push_back(take(rows * 2 * t.freq.size() * sizeof(float)));
  step_.size = at;
}

// Host memory that the device reads may be uncached: it is written in order and never read.
void VulkanExecutable::write_step(const plan::Step& step) noexcept {
  const uint32_t n_rows = static_cast<uint32_t>(step.tokens.size());
  const uint32_t n_outputs = static_cast<uint32_t>(step.output_rows.size());
  auto* counts = in_step<uint32_t>(step_.counts);
  counts[0] = n_rows, counts[1] = n_outputs;
  auto* arguments = in_step<VkDispatchIndirectCommand>(step_.arguments);
  for (size_t i = 0; i < grids_.size(); ++i) {
    const uint32_t rows = grids_[i].extent == plan::Extent::kRows ? n_rows : n_outputs;
    arguments[i] = {grids_[i].x, (rows + grids_[i].rows_per_group - 1) / grids_[i].rows_per_group, 1};
  }
  std::copy(step.tokens.begin(), step.tokens.end(), in_step<TokenId>(step_.tokens));
  std::copy(step.positions.begin(), step.positions.end(), in_step<int32_t>(step_.positions));
  std::copy(step.output_rows.begin(), step.output_rows.end(), in_step<int32_t>(step_.output_rows));

  auto* tables = in_step<int32_t>(step_.tables);
  auto* pages = in_step<uint64_t>(step_.pages);
  uint64_t begin = 0, end = 0;  // of the current sequence's pages
  for (uint32_t r = 0; reads_cache_ && r < n_rows; ++r) {
    if (r == 0 || step.sequences[r] != step.sequences[r - 1]) begin = end;
    const auto table = step.page_tables[step.sequences[r]];
    const uint64_t need = step.positions[r] / plan::kPageTokens + 1;
    MORAINE_CHECK(need <= table.size());
    for (; end < begin + need; ++end) {
      MORAINE_CHECK(end < step_.max_pages);
      pages[end] = backend_.page_address(table[end - begin]);
    }
    tables[r] = static_cast<int32_t>(begin);
  }
  for (size_t t = 0; t < ropes_.size(); ++t) {
    const size_t n = ropes_[t].freq.size();
    auto* angles = in_step<float>(step_.ropes[t]);
    for (uint32_t r = 0; r < n_rows; ++r, angles += 2 * n)
      plan::fill_rope_row(ropes_[t].params, ropes_[t].freq, step.positions[r], angles, angles + n);
  }
}

plan::Status VulkanExecutable::submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept {
  MORAINE_CHECK(static_cast<int32_t>(step.tokens.size()) <= limits_.max_rows);
  MORAINE_CHECK(static_cast<int32_t>(step.output_rows.size()) <= limits_.max_outputs);
  MORAINE_CHECK(clock_.has_value());
  write_step(step);
  switch (submission_.run(commands_.all(), static_cast<int32_t>(step.tokens.size()), *clock_)) {
    case VK_SUCCESS:
      break;
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
      return plan::Status::kOutOfMemory;
    default:
      return plan::Status::kDeviceLost;  // the only other failure a submission and its wait have
  }
  const plan::Value& out = plan_.values[plan_.output];
  const size_t n = out.extent == plan::Extent::kRows ? step.tokens.size() : step.output_rows.size();
  const auto* from = reinterpret_cast<const float*>(logits_->mapped());
  for (size_t r = 0; r < n; ++r)
    std::memcpy(logits + r * logits_stride, from + r * plan::row_stride(out.width),
                out.width * sizeof(float));
  return plan::Status::kOk;
}

}  // namespace moraine::vulkan
