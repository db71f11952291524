// One side's share of a model: its ops as a plan of their own, with a pause wherever the other side goes on,
// and its weights and layers in a numbering of their own.
#pragma once

#include <span>
#include <vector>

#include "backend/split/placement.h"

namespace moraine::split {

class Share {
 public:
  // weights: the model's. The plan is only read here.
  Share(const plan::Plan& plan, std::span<const plan::Weight> weights, const Placement& placement,
        Where side);

  const plan::Plan& plan() const { return plan_; }
  // What a backend is to be told, of what the whole model would have.
  std::vector<plan::Weight> weights(std::span<const plan::Weight> all) const;
  plan::KvShape kv(const plan::KvShape& all) const;
  plan::StateShape state(const plan::StateShape& all) const;
  // By the model's id; kNoWeight: not here.
  plan::WeightId weight_of(plan::WeightId id) const { return weight_of_[id]; }

 private:
  void number(const plan::Plan& whole, const Placement& placement, size_t n_weights, Where side);
  void add_ops(const plan::Plan& whole, const Segment& segment);

  plan::Plan plan_;
  std::vector<plan::WeightId> weight_of_;  // by the model's id
  std::vector<int32_t> kv_of_, state_of_;  // by the model's index; -1: not here
};

}  // namespace moraine::split
