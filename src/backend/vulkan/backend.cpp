#include "backend/vulkan/backend.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/vulkan/executable.h"
#include "backend/vulkan/weights.h"
#include "base/check.h"
#include "quant/format.h"

namespace moraine::vulkan {
namespace {

constexpr uint64_t kSlabBytes = 64u << 20;
constexpr int32_t kMaxSlabPages = 16;

uint64_t align(uint64_t n) { return (n + kPlaceAlignment - 1) / kPlaceAlignment * kPlaceAlignment; }

uint64_t kv_bytes(KvType t, const plan::KvShape::Layer& l) {
  return uint64_t{plan::kPageTokens} * l.n_kv_heads * l.head_dim * (t == KvType::kF16 ? 2 : 4);
}

}  // namespace

VulkanBackend::VulkanBackend(const Options& options)
    : options_(options),
      instance_(options.on_validation_message),
      device_(instance_, instance_.choose(options.device, options.allow_software)),
      pipelines_(device_) {}

VulkanBackend::~VulkanBackend() = default;

std::string VulkanBackend::describe() const {
  return fmt::format("{} ({})", device_.physical().name, device_.physical().description);
}

void VulkanBackend::declare_weights(std::vector<plan::Weight> decls) {
  MORAINE_CHECK(weights_.empty());
  std::vector<uint64_t> sizes;
  for (const plan::Weight& d : decls) {
    if (!runs_on_vulkan(d))
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("Tensor {} is stored as {}, a format the Vulkan backend does not run yet.",
                              d.name, info(d.dtype).name));
    sizes.push_back(device_row_bytes(d) * d.rows);
  }
  const std::vector<Place> places =
      place_all(device_, sizes, options_.arena_bytes, memory_use(), "the weights", weight_arenas_);
  for (size_t i = 0; i < decls.size(); ++i) {
    if (!places[i].buffer->mapped() && !uploader_) uploader_ = std::make_unique<Uploader>(device_);
    weights_.push_back({std::move(decls[i]), places[i], {}});
  }
}

void VulkanBackend::write_weight(plan::WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) {
  VulkanWeight& w = weights_[id];
  MORAINE_CHECK(first_row >= 0 && n_rows >= 0 && first_row + n_rows <= w.decl.rows);
  Place to = w.place;
  const uint64_t row_bytes = device_row_bytes(w.decl);
  to.offset += first_row * row_bytes;
  if (w.decl.role == plan::WeightRole::kVector) {
    const size_t n_values = static_cast<size_t>(n_rows) * w.decl.cols;
    w.host.resize(n_values);
    quant::find(w.decl.dtype)->unpack_blocks(data, n_values / info(w.decl.dtype).block_len, w.host.data());
  }
  if (uint8_t* mapped = to.buffer->mapped()) {
    pack_rows(w.decl, n_rows, data, mapped + to.offset);
    return;
  }
  std::vector<uint8_t> packed(row_bytes * n_rows);
  pack_rows(w.decl, n_rows, data, packed.data());
  uploader_->write(to, packed.data(), packed.size());
}

uint64_t VulkanBackend::weight_bytes() const {
  uint64_t n = 0;
  for (const auto& arena : weight_arenas_) n += arena->size();
  return n;
}

void VulkanBackend::set_kv(const plan::KvShape& shape, KvType k, KvType v) {
  if (k == KvType::kQ8_0 || v == KvType::kQ8_0)
    throw Error(ErrorCode::kUnsupported, "A q8_0 cache does not run on Vulkan yet. Use -ctk f16 -ctv f16.");
  MORAINE_CHECK(free_pages_.size() == pages_.size());  // no page of another shape is in use
  page_slabs_.clear(), pages_.clear(), free_pages_.clear();
  kv_k_ = k, kv_v_ = v;
  kv_layers_.clear();
  page_bytes_ = 0;
  for (const auto& l : shape.layers) {
    kv_layers_.push_back({page_bytes_, page_bytes_ + kv_bytes(k, l)});
    page_bytes_ += kv_bytes(k, l) + kv_bytes(v, l);
  }
  page_bytes_ = align(page_bytes_);
}

Constants VulkanBackend::kv_formats() const {
  return {kv_k_ == KvType::kF16 ? 0u : 1u, kv_v_ == KvType::kF16 ? 0u : 1u};
}

plan::PageId VulkanBackend::allocate_page() {
  if (free_pages_.empty()) {
    const int32_t n = std::clamp<int32_t>(
        static_cast<int32_t>(std::min<uint64_t>(kSlabBytes / page_bytes_, kMaxSlabPages)), 1, kMaxSlabPages);
    page_slabs_.push_back(std::make_unique<Buffer>(device_, n * page_bytes_, memory_use(), "the cache"));
    free_pages_.reserve(pages_.size() + n);  // so that free_page never allocates
    for (int32_t i = n - 1; i >= 0; --i) free_pages_.push_back(static_cast<plan::PageId>(pages_.size()) + i);
    for (int32_t i = 0; i < n; ++i) pages_.push_back({page_slabs_.back().get(), i * page_bytes_});
  }
  const plan::PageId id = free_pages_.back();
  free_pages_.pop_back();
  return id;
}

void VulkanBackend::copy_page(plan::PageId, plan::PageId) {
  throw Error(ErrorCode::kUnsupported, "Pages of the cache cannot be copied on Vulkan yet.");
}

void VulkanBackend::set_state(const plan::StateShape& shape) {
  if (!shape.layers.empty())
    throw Error(ErrorCode::kUnsupported,
                "Models with recurrent layers do not run on Vulkan yet. Run this one on the CPU.");
}

std::unique_ptr<plan::Executable> VulkanBackend::prepare(const plan::Plan& plan,
                                                         const plan::StepLimits& limits) {
  return std::make_unique<VulkanExecutable>(*this, plan, limits);
}

}  // namespace moraine::vulkan
