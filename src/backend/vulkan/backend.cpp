#include "backend/vulkan/backend.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <numeric>

#include "backend/vulkan/executable.h"
#include "backend/vulkan/weights.h"
#include "base/check.h"
#include "base/system_memory.h"
#include "quant/format.h"

namespace moraine::vulkan {

VulkanBackend::VulkanBackend(const Options& options)
    : options_(options),
      instance_(options.on_validation_message),
      physical_(instance_.choose(options.device, options.allow_software)),
      opened_(std::make_unique<Opened>(instance_, physical_, options_)) {}

VulkanBackend::~VulkanBackend() = default;

std::string VulkanBackend::describe() const {
  return fmt::format("{} ({})", physical_.name, physical_.description);
}

VulkanBackend::Opened& VulkanBackend::opened() const {
  if (!opened_)
    throw Error(ErrorCode::kDeviceLost,
                fmt::format("{} was lost and could not be opened again.", describe()));
  return *opened_;
}

void VulkanBackend::declare_weights(std::vector<plan::Weight> decls) {
  MORAINE_CHECK(!has_weights_);
  const uint64_t limit = physical_.max_allocation_bytes;
  std::vector<uint64_t> sizes;
  for (const plan::Weight& d : decls) {
    if (!runs_on_vulkan(d))
      throw Error(ErrorCode::kUnsupported,
                  fmt::format("Tensor {} is stored as {}, a format the Vulkan backend does not run yet. Run "
                              "on the CPU with -ngl 0.",
                              d.name, info(d.dtype).name));
    sizes.push_back(device_bytes(d));
    if (align_place(sizes.back()) > limit)
      throw Error(
          ErrorCode::kUnsupported,
          fmt::format("Tensor {} has {:.1f} MB, more than the GPU ({}) allocates at once ({:.1f} MB). "
                      "Run its layer on the CPU with a smaller -ngl, or all with -ngl 0.",
                      d.name, sizes.back() / 1e6, physical_.description, limit / 1e6));
  }
  packing_ = pack(sizes, std::min(options_.arena_bytes, limit));
  weights_.clear();
  for (plan::Weight& d : decls) weights_.push_back({std::move(d), {}, {}});
}

void VulkanBackend::place_weights() {
  // Drivers may grant what they do not have and fail at the first touch: what cannot be is refused here.
  const uint64_t wanted = packing_.total(), there = device_memory()->available;
  if (wanted > there)
    throw Error(
        ErrorCode::kOutOfMemory,
        fmt::format("The weights take {:.2f} GB, and of the memory of the GPU ({}) {:.2f} GB are free. "
                    "Close other programs that use it, put fewer layers there (-ngl auto), or choose "
                    "a smaller model.",
                    wanted / 1e9, physical_.description, there / 1e9));
  for (const uint64_t bytes : packing_.arenas)
    opened().arenas.push_back(std::make_unique<Buffer>(opened().device, bytes, memory_use(), "the weights"));
  for (size_t i = 0; i < weights_.size(); ++i)
    weights_[i].place = {opened().arenas[packing_.spots[i].arena].get(), packing_.spots[i].offset};
  has_weights_ = true;
}

void VulkanBackend::write_weight(plan::WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) {
  if (!has_weights_) place_weights();
  VulkanWeight& w = weights_[id];
  MORAINE_CHECK(first_row >= 0 && n_rows >= 0 && first_row + n_rows <= w.decl.rows);
  if (w.decl.role == plan::WeightRole::kVector) {
    const int64_t n_values = int64_t{n_rows} * w.decl.cols, first = int64_t{first_row} * w.decl.cols;
    w.host.resize(int64_t{w.decl.rows} * w.decl.cols);
    quant::find(w.decl.dtype)
        ->unpack_blocks(data, n_values / info(w.decl.dtype).block_len, w.host.data() + first);
  }
  Place to = w.place;
  to.offset += device_offset(w.decl, first_row);
  if (uint8_t* mapped = to.buffer->mapped()) {
    pack_rows(w.decl, n_rows, data, mapped + to.offset);
    return;
  }
  plan::Weight part = w.decl;
  part.rows = n_rows;
  std::vector<uint8_t> packed(device_bytes(part));
  pack_rows(w.decl, n_rows, data, packed.data());
  opened().transfers.write(to, packed.data(), packed.size());
}

std::optional<plan::DeviceMemory> VulkanBackend::device_memory() const {
  plan::DeviceMemory m;
  m.is_system = physical_.system_memory;
  const std::vector<uint64_t> free = opened().device.free_by_heap();
  m.available = std::accumulate(free.begin(), free.end(), uint64_t{0});
  if (m.is_system) m.available = std::min(m.available, available_memory());
  // What was taken already counts among what may be taken in all.
  for (const auto& arena : opened().arenas) m.available += arena->size();
  if (options_.memory_limit_bytes > 0) m.available = std::min(m.available, options_.memory_limit_bytes);
  m.weights = weight_bytes(), m.page = page_bytes(), m.state = state_bytes();
  return m;
}

void VulkanBackend::set_kv(const plan::KvShape& shape, KvType k, KvType v) {
  kv_ = lay_out_pages(shape, k, v);
  kv_k_ = k, kv_v_ = v;
  pages_.set_piece_bytes(kv_.page_bytes);
}

plan::PageId VulkanBackend::allocate_page() {
  if (page_bytes() == 0) return 0;  // no layer here has a cache
  const plan::PageId id = pages_.allocate(opened().device, memory_use(), "the cache");
  try {
    opened().transfers.clear(pages_.place(id), page_bytes());
  } catch (...) {
    pages_.free(id);
    throw;
  }
  return id;
}

void VulkanBackend::copy_page(plan::PageId to, plan::PageId from) {
  if (page_bytes() > 0) opened().transfers.copy(pages_.place(to), pages_.place(from), page_bytes());
}

// Through the device's own copies even where the host sees the memory: on an APU that is uncached, and
// reading it slower than a disk. Kept by whoever copies on other threads, so the place is looked up here.
plan::Contents VulkanBackend::contents(const Place& place, uint64_t bytes) {
  const auto ok = [](auto&& copy) {
    try {
      copy();
      return true;
    } catch (const Error& e) {
      errno = e.code() == ErrorCode::kDeviceLost ? ENODEV : ENOMEM;
    } catch (const std::exception&) {
      errno = ENOMEM;
    }
    return false;
  };
  const auto at = [place](uint64_t offset) { return Place{place.buffer, place.offset + offset}; };
  Transfers& transfers = opened().transfers;
  return {bytes,
          [=, &transfers](uint64_t offset, std::span<uint8_t> to) {
            return ok([&] { transfers.read(to.data(), at(offset), to.size()); });
          },
          [=, &transfers](uint64_t offset, std::span<const uint8_t> from) {
            return ok([&] { transfers.write(at(offset), from.data(), from.size()); });
          }};
}

plan::Contents VulkanBackend::page_contents(plan::PageId id) {
  return page_bytes() > 0 ? contents(pages_.place(id), page_bytes()) : plan::Contents{};
}

plan::Contents VulkanBackend::state_contents(plan::StateId id) {
  return state_bytes() > 0 ? contents(states_.place(id), state_bytes()) : plan::Contents{};
}

// Bits are the driver's and the device's affair too: another one, or another build of it, is another
// arithmetic.
std::string VulkanBackend::numerics_id() const {
  constexpr int kRevision = 1;  // of the layout of pages and states, and of what shaders compute
  return fmt::format("vulkan {} {:x}:{:x} {:02x} k{} v{}", kRevision, physical_.vendor_id,
                     physical_.device_id, fmt::join(physical_.pipeline_uuid, ""), static_cast<int>(kv_k_),
                     static_cast<int>(kv_v_));
}

void VulkanBackend::set_state(const plan::StateShape& shape) {
  state_layout_ = lay_out_state(shape);
  states_.set_piece_bytes(state_layout_.state_bytes);
}

plan::StateId VulkanBackend::allocate_state() {
  if (state_bytes() == 0) return 0;
  const plan::StateId id = states_.allocate(opened().device, memory_use(), "recurrent states");
  try {
    opened().transfers.clear(states_.place(id), state_bytes());
  } catch (...) {
    states_.free(id);
    throw;
  }
  return id;
}

void VulkanBackend::copy_state(plan::StateId to, plan::StateId from) {
  if (state_bytes() > 0) opened().transfers.copy(states_.place(to), states_.place(from), state_bytes());
}

// Wider subgroups do not make wider workgroups: those of 64 lanes serve them.
uint32_t VulkanBackend::lanes() const {
  if (options_.lanes != 0) return options_.lanes;
  return physical_.subgroup_size >= 64 ? 64 : physical_.subgroup_size >= 32 ? 32 : 8;
}

std::unique_ptr<plan::Executable> VulkanBackend::prepare(const plan::Plan& plan,
                                                         const plan::StepLimits& limits) {
  auto executable = std::make_unique<VulkanExecutable>(*this, plan, limits);
  if (has_weights_) opened().pipelines.save();
  return executable;
}

void VulkanBackend::recover() {
  pages_.set_piece_bytes(kv_.page_bytes), states_.set_piece_bytes(state_layout_.state_bytes);
  for (VulkanWeight& w : weights_) w.place = {}, w.host.clear();
  has_weights_ = false;
  opened_.reset();  // before the next one: its memory is needed again
  opened_ = std::make_unique<Opened>(instance_, physical_, options_);
}

}  // namespace moraine::vulkan
