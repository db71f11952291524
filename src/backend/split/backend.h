// A model on two backends: the ops before a cut run on one, those from it on on the other, and what the
// second reads of the first passes through the host once a step (the residual stream, [rows, n_embd]). A page
// is a page of both, each with the layers it computes; a state likewise. Knows neither backend by kind.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plan/backend.h"

namespace moraine::split {

// The first op of layers from `layer` on, of which the model has n_layers: what comes after all of them is
// one more. Layers are known by the names of their weights ("blk.7.attn_q.weight").
size_t first_op_of(const plan::Plan& plan, std::span<const plan::Weight> weights, int32_t n_layers,
                   int32_t layer);

// What ops from `first` on take of a device: their weights, and the pages of n_tokens. Bytes.
uint64_t bytes_from(const plan::Plan& plan, std::span<const plan::Weight> weights, size_t first,
                    const plan::KvShape& kv, KvType k, KvType v, int64_t n_tokens);

// One side's share of a model: its ops on its own numbering of weights and layers.
struct Side {
  std::unique_ptr<plan::Backend> backend;
  std::vector<plan::WeightId> weights;    // of the model, by this side's id
  std::vector<plan::WeightId> weight_of;  // by the model's id; kNoWeight: not here
  std::vector<int32_t> kv_of, state_of;   // by the model's layer index; -1: not here

  plan::Plan part_of(const plan::Plan& plan, size_t begin, size_t end) const;
};

class SplitBackend final : public plan::Backend {
 public:
  // cut: index of the plan's first op on `back`; the plan is the one that is prepared later.
  SplitBackend(std::unique_ptr<plan::Backend> front, std::unique_ptr<plan::Backend> back,
               const plan::Plan& plan, size_t cut);

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

  void set_state(const plan::StateShape& shape) override;
  uint64_t state_bytes() const override { return sum(&plan::Backend::state_bytes); }
  plan::StateId allocate_state() override;
  void free_state(plan::StateId state) noexcept override;
  void copy_state(plan::StateId to, plan::StateId from) override;

  std::unique_ptr<plan::Executable> prepare(const plan::Plan& plan, const plan::StepLimits& limits) override;
  void recover() override;

  // For the executable: what an id stands for on each side.
  std::pair<int32_t, int32_t> page(plan::PageId id) const { return pages_.pairs[id]; }
  std::pair<int32_t, int32_t> state(plan::StateId id) const { return states_.pairs[id]; }

 private:
  struct Pairs {
    std::vector<std::pair<int32_t, int32_t>> pairs;  // by id
    std::vector<int32_t> free;                       // with room for all ids: freeing needs no memory
    int32_t add(std::pair<int32_t, int32_t> pair);
  };
  uint64_t sum(uint64_t (plan::Backend::*bytes)() const) const {
    return (*front_.backend.*bytes)() + (*back_.backend.*bytes)();
  }

  Side front_, back_;
  size_t cut_;
  size_t n_weights_ = 0;
  Pairs pages_, states_;
};

}  // namespace moraine::split
