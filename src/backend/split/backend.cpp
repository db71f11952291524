#include "backend/split/backend.h"

#include <fmt/format.h>

#include <algorithm>

#include "backend/split/executable.h"

namespace moraine::split {

using plan::WeightId;

namespace {

// One behind the other.
plan::Contents joined(plan::Contents a, plan::Contents b) {
  const auto both = [middle = a.size](const auto& of_a, const auto& of_b, uint64_t offset, auto bytes) {
    const uint64_t n = std::min<uint64_t>(bytes.size(), middle - std::min(offset, middle));
    const auto rest = bytes.subspan(n);
    return (n == 0 || of_a(offset, bytes.first(n))) && (rest.empty() || of_b(offset + n - middle, rest));
  };
  return {
      a.size + b.size,
      [=](uint64_t offset, std::span<uint8_t> to) { return both(a.read, b.read, offset, to); },
      [=](uint64_t offset, std::span<const uint8_t> from) { return both(a.write, b.write, offset, from); }};
}

}  // namespace

SplitBackend::SplitBackend(std::unique_ptr<plan::Backend> host, std::unique_ptr<plan::Backend> device,
                           const plan::Plan& plan, std::span<const plan::Weight> weights,
                           const Placement& placement)
    : host_{std::move(host), Share(plan, weights, placement, Where::kHost)},
      device_{std::move(device), Share(plan, weights, placement, Where::kDevice)},
      segments_(find_segments(plan, placement)) {}

std::string SplitBackend::describe() const {
  return fmt::format("{} and {}", host_.backend->describe(), device_.backend->describe());
}

void SplitBackend::declare_weights(std::vector<plan::Weight> weights) {
  for (Side* side : {&host_, &device_}) side->backend->declare_weights(side->share.weights(weights));
}

void SplitBackend::write_weight(WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) {
  for (Side* side : {&host_, &device_})
    if (const WeightId own = side->share.weight_of(id); own != plan::kNoWeight)
      side->backend->write_weight(own, first_row, n_rows, data);
}

std::optional<plan::DeviceMemory> SplitBackend::device_memory() const {
  return device_.backend->device_memory();
}

void SplitBackend::set_kv(const plan::KvShape& shape, KvType k, KvType v) {
  for (Side* side : {&host_, &device_}) side->backend->set_kv(side->share.kv(shape), k, v);
}

void SplitBackend::set_state(const plan::StateShape& shape) {
  for (Side* side : {&host_, &device_}) side->backend->set_state(side->share.state(shape));
}

int32_t SplitBackend::Pairs::add(std::pair<int32_t, int32_t> pair) {
  if (free.empty()) {
    pairs.push_back(pair);
    free.reserve(pairs.capacity());
    return static_cast<int32_t>(pairs.size()) - 1;
  }
  const int32_t id = free.back();
  free.pop_back();
  pairs[id] = pair;
  return id;
}

plan::PageId SplitBackend::allocate_page() {
  const plan::PageId host = host_.backend->allocate_page();
  try {
    return pages_.add({host, device_.backend->allocate_page()});
  } catch (...) {
    host_.backend->free_page(host);
    throw;
  }
}

void SplitBackend::free_page(plan::PageId id) noexcept {
  host_.backend->free_page(pages_.pairs[id].first);
  device_.backend->free_page(pages_.pairs[id].second);
  pages_.free.push_back(id);
}

void SplitBackend::copy_page(plan::PageId to, plan::PageId from) {
  host_.backend->copy_page(pages_.pairs[to].first, pages_.pairs[from].first);
  device_.backend->copy_page(pages_.pairs[to].second, pages_.pairs[from].second);
}

plan::StateId SplitBackend::allocate_state() {
  const plan::StateId host = host_.backend->allocate_state();
  try {
    return states_.add({host, device_.backend->allocate_state()});
  } catch (...) {
    host_.backend->free_state(host);
    throw;
  }
}

void SplitBackend::free_state(plan::StateId id) noexcept {
  host_.backend->free_state(states_.pairs[id].first);
  device_.backend->free_state(states_.pairs[id].second);
  states_.free.push_back(id);
}

void SplitBackend::copy_state(plan::StateId to, plan::StateId from) {
  host_.backend->copy_state(states_.pairs[to].first, states_.pairs[from].first);
  device_.backend->copy_state(states_.pairs[to].second, states_.pairs[from].second);
}

plan::Contents SplitBackend::page_contents(plan::PageId id) {
  const auto& [host, device] = pages_.pairs[id];
  return joined(host_.backend->page_contents(host), device_.backend->page_contents(device));
}

plan::Contents SplitBackend::state_contents(plan::StateId id) {
  const auto& [host, device] = states_.pairs[id];
  return joined(host_.backend->state_contents(host), device_.backend->state_contents(device));
}

std::string SplitBackend::numerics_id() const {
  const std::string host = host_.backend->numerics_id(), device = device_.backend->numerics_id();
  if (host.empty() || device.empty()) return "";
  std::string id = host + ", " + device;
  for (const Segment& s : segments_)
    if (s.side == Where::kDevice) id += fmt::format(" {}-{}", s.begin, s.end);
  return id;
}

std::unique_ptr<plan::Executable> SplitBackend::prepare(const plan::Plan&, const plan::StepLimits& limits) {
  return std::make_unique<SplitExecutable>(*this, limits);
}

void SplitBackend::recover() { host_.backend->recover(), device_.backend->recover(); }

}  // namespace moraine::split
