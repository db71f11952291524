#include "backend/split/placement.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace moraine::split {

using plan::ValueId;
using plan::WeightId;

namespace {

// -1: of no layer.
int32_t layer_of(const std::string& name) {
  int32_t layer = 0;
  if (!name.starts_with("blk.")) return -1;
  const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  return error == std::errc() && end != name.data() + name.size() && *end == '.' ? layer : -1;
}

// Those that say where an op belongs: a rope's frequencies are every layer's, and lie wherever one runs.
template <class Fn>
void for_each_placed_weight(const plan::Op& op, Fn&& fn) {
  if (!std::holds_alternative<plan::Rope>(op)) plan::for_each_weight(op, fn);
}

bool has_placed_weight(const plan::Op& op) {
  bool any = false;
  for_each_placed_weight(op, [&](WeightId) { any = true; });
  return any;
}

int32_t layer_of(const plan::Op& op, std::span<const plan::Weight> weights) {
  int32_t layer = -1;
  for_each_placed_weight(op, [&](WeightId w) { layer = std::max(layer, layer_of(weights[w].name)); });
  return layer;
}

// The first op of layers from `layer` on; what comes after all of them is one more.
size_t first_op_of(const plan::Plan& plan, std::span<const plan::Weight> weights, int32_t n_layers,
                   int32_t layer) {
  bool in_layers = false;
  for (size_t i = 0; i < plan.ops.size(); ++i) {
    if (!has_placed_weight(plan.ops[i])) continue;
    const int32_t of = layer_of(plan.ops[i], weights);
    in_layers |= of >= 0;
    if (of >= layer || (of < 0 && in_layers && layer >= n_layers)) return i;
  }
  return plan.ops.size();
}

// Where the weights of an op are wished, if any is.
std::optional<Where> wished(const plan::Op& op, std::span<const plan::Weight> weights, const Wishes& wishes) {
  std::optional<Where> where;
  if (wishes.weights.empty()) return where;
  WeightId by = plan::kNoWeight;
  for_each_placed_weight(op, [&](WeightId w) {
    if (!wishes.weights[w]) return;
    if (where && *where != *wishes.weights[w])
      throw Error(ErrorCode::kInvalidArgument,
                  fmt::format("The tensors {} and {} cannot lie on different devices: one operation ({}) "
                              "uses both. Let -ot (--override-tensor) name them together.",
                              weights[by].name, weights[w].name, plan::op_name(op)));
    where = wishes.weights[w], by = w;
  });
  return where;
}

}  // namespace

bool Placement::all(Where side) const {
  return std::all_of(ops.begin(), ops.end(), [side](Where w) { return w == side; });
}

Placement place(const plan::Plan& plan, std::span<const plan::Weight> weights, int32_t n_layers,
                const Wishes& wishes) {
  size_t first_on_device = plan.ops.size();
  if (wishes.device_layers > n_layers)
    first_on_device = 0;
  else if (wishes.device_layers > 0)
    first_on_device = first_op_of(plan, weights, n_layers, n_layers + 1 - wishes.device_layers);
  Placement placement;
  std::vector<std::optional<Where>> written(plan.values.size());  // where the latest version of a value is
  for (size_t i = 0; i < plan.ops.size(); ++i) {
    const plan::Op& op = plan.ops[i];
    const Where layer = i < first_on_device ? Where::kHost : Where::kDevice;
    Where where = layer;
    if (const auto named = wished(op, weights, wishes)) {
      where = *named;
      for_each_placed_weight(op, [&](WeightId w) {
        if (where != layer && !wishes.weights[w]) placement.along.push_back(w);
      });
    } else if (std::holds_alternative<plan::Moe>(op)) {
      if (layer_of(op, weights) < wishes.host_expert_layers) where = Where::kHost;
    } else if (!has_placed_weight(op)) {
      bool reads_host = false, reads_device = false;
      plan::for_each_value(op, [&](ValueId v, bool) {
        reads_host |= written[v] == Where::kHost;
        reads_device |= written[v] == Where::kDevice;
      });
      if (reads_host != reads_device) where = reads_host ? Where::kHost : Where::kDevice;
    }
    plan::for_each_value(op, [&](ValueId v, bool writes) {
      if (writes) written[v] = where;
    });
    placement.ops.push_back(where);
  }
  return placement;
}

int32_t count_expert_layers(const plan::Plan& plan, std::span<const plan::Weight> weights) {
  int32_t n = 0;
  for (const plan::Op& op : plan.ops)
    if (std::holds_alternative<plan::Moe>(op)) n = std::max(n, layer_of(op, weights) + 1);
  return n;
}

std::vector<Segment> find_segments(const plan::Plan& plan, const Placement& placement) {
  std::vector<Segment> segments;
  // Of each value, which sides have its latest version.
  struct Held {
    bool by[2] = {false, false};
  };
  std::vector<Held> held(plan.values.size());
  for (size_t i = 0; i < plan.ops.size(); ++i) {
    const Where side = placement.ops[i];
    if (segments.empty() || segments.back().side != side) segments.push_back({side, i, i, {}});
    Segment& now = segments.back();
    now.end = i + 1;
    const auto here = static_cast<size_t>(side), there = 1 - here;
    plan::for_each_value(plan.ops[i], [&](ValueId v, bool writes) {
      Held& h = held[v];
      // What is written and was there before is changed in place.
      if (h.by[there] && !h.by[here]) now.taken.push_back(v), h.by[here] = true;
      if (writes) h.by[here] = true, h.by[there] = false;
    });
  }
  return segments;
}

}  // namespace moraine::split
