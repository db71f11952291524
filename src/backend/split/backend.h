// A model on two backends: each op runs where a placement says (placement.h), in the model's order, and what
// one side uses of the other passes through the host when it begins to run. A page is a page of both, each
// with the layers it computes; a state likewise. Knows neither backend by kind.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/split/share.h"
#include "plan/backend.h"

namespace moraine::split {

class SplitBackend final : public plan::Backend {
 public:
  // weights: the model's. The plan is the one that is prepared later.
  SplitBackend(std::unique_ptr<plan::Backend> host, std::unique_ptr<plan::Backend> device,
               const plan::Plan& plan, std::span<const plan::Weight> weights, const Placement& placement);

  std::string describe() const override;
  void declare_weights(std::vector<plan::Weight> weights) override;
  void write_weight(plan::WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) override;
  uint64_t weight_bytes() const override { return sum(&plan::Backend::weight_bytes); }
  std::optional<plan::DeviceMemory> device_memory() const override;

  void set_kv(const plan::KvShape& shape, KvType k, KvType v) override;
  uint64_t page_bytes() const override { return sum(&plan::Backend::page_bytes); }
  plan::PageId allocate_page() override;
  void free_page(plan::PageId page) noexcept override;
  void copy_page(plan::PageId to, plan::PageId from) override;
  plan::Contents page_contents(plan::PageId page) override;

  void set_state(const plan::StateShape& shape) override;
  uint64_t state_bytes() const override { return sum(&plan::Backend::state_bytes); }
  plan::StateId allocate_state() override;
  void free_state(plan::StateId state) noexcept override;
  void copy_state(plan::StateId to, plan::StateId from) override;
  plan::Contents state_contents(plan::StateId state) override;
  std::string numerics_id() const override;

  std::unique_ptr<plan::Executable> prepare(const plan::Plan& plan, const plan::StepLimits& limits) override;
  void recover() override;

  // For the executable. By side: the backend and its part of the plan; what an id stands for on each side.
  plan::Backend& backend(Where side) { return *(side == Where::kHost ? host_ : device_).backend; }
  const plan::Plan& part(Where side) const { return (side == Where::kHost ? host_ : device_).share.plan(); }
  std::span<const Segment> segments() const { return segments_; }
  std::pair<int32_t, int32_t> page(plan::PageId id) const { return pages_.pairs[id]; }
  std::pair<int32_t, int32_t> state(plan::StateId id) const { return states_.pairs[id]; }

 private:
  struct Pairs {
    std::vector<std::pair<int32_t, int32_t>> pairs;  // by id
    std::vector<int32_t> free;                       // with room for all ids: freeing needs no memory
    int32_t add(std::pair<int32_t, int32_t> pair);
  };
  uint64_t sum(uint64_t (plan::Backend::*bytes)() const) const {
    return (*host_.backend.*bytes)() + (*device_.backend.*bytes)();
  }
  struct Side {
    std::unique_ptr<plan::Backend> backend;
    Share share;
  };

  Side host_, device_;
  std::vector<Segment> segments_;
  Pairs pages_, states_;
};

}  // namespace moraine::split
