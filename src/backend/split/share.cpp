#include "backend/split/share.h"

#include <algorithm>

namespace moraine::split {

using plan::ValueId;
using plan::WeightId;

namespace {

void mark(std::vector<int32_t>& used, int32_t id) {
  if (used.size() <= static_cast<size_t>(id)) used.resize(id + 1, -1);
  used[id] = 0;
}

// Those that are marked, in their order.
void count(std::vector<int32_t>& used) {
  int32_t next = 0;
  for (int32_t& id : used)
    if (id >= 0) id = next++;
}

template <class Layer>
std::vector<Layer> those(const std::vector<Layer>& all, const std::vector<int32_t>& of) {
  std::vector<Layer> own;
  for (size_t i = 0; i < all.size() && i < of.size(); ++i)
    if (of[i] >= 0) own.push_back(all[i]);
  return own;
}

}  // namespace

Share::Share(const plan::Plan& whole, std::span<const plan::Weight> weights, const Placement& placement,
             Where side) {
  number(whole, placement, weights.size(), side);
  plan_.values = whole.values;
  plan::Exchange pause;
  bool paused = false;
  for (const Segment& segment : find_segments(whole, placement)) {
    if (segment.side != side) {
      pause.given = segment.taken;
      paused = true;
      continue;
    }
    if (paused) {
      pause.taken = segment.taken;
      plan_.ops.emplace_back(std::move(pause));
      pause = {}, paused = false;
    }
    add_ops(whole, segment);
  }
  if (paused) plan_.ops.emplace_back(std::move(pause));  // what it gives lives until the end
}

void Share::number(const plan::Plan& whole, const Placement& placement, size_t n_weights, Where side) {
  weight_of_.assign(n_weights, plan::kNoWeight);
  for (size_t i = 0; i < whole.ops.size(); ++i) {
    if (placement.ops[i] != side) continue;
    const plan::Op& op = whole.ops[i];
    plan::for_each_weight(op, [&](WeightId w) { weight_of_[w] = 0; });
    if (const auto* attention = std::get_if<plan::Attention>(&op)) mark(kv_of_, attention->layer);
    if (const auto* net = std::get_if<plan::GatedDeltaNet>(&op)) mark(state_of_, net->layer);
  }
  count(weight_of_), count(kv_of_), count(state_of_);
}

void Share::add_ops(const plan::Plan& whole, const Segment& segment) {
  for (size_t i = segment.begin; i < segment.end; ++i) {
    plan::Op op = whole.ops[i];
    plan::for_each_weight(op, [&](WeightId& w) { w = weight_of_[w]; });
    if (auto* attention = std::get_if<plan::Attention>(&op)) attention->layer = kv_of_[attention->layer];
    if (auto* net = std::get_if<plan::GatedDeltaNet>(&op)) net->layer = state_of_[net->layer];
    plan::for_each_value(op, [&](ValueId v, bool writes) {
      if (writes && v == whole.output) plan_.output = v;
    });
    plan_.ops.push_back(std::move(op));
  }
}

std::vector<plan::Weight> Share::weights(std::span<const plan::Weight> all) const {
  std::vector<plan::Weight> own;
  for (size_t i = 0; i < all.size(); ++i)
    if (weight_of_[i] != plan::kNoWeight) own.push_back(all[i]);
  return own;
}

plan::KvShape Share::kv(const plan::KvShape& all) const { return {those(all.layers, kv_of_)}; }

plan::StateShape Share::state(const plan::StateShape& all) const { return {those(all.layers, state_of_)}; }

}  // namespace moraine::split
