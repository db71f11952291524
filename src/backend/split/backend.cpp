#include "backend/split/backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <set>

#include "plan/kv_layout.h"

namespace moraine::split {

using plan::kNoWeight;
using plan::ValueId;
using plan::WeightId;

namespace {

// Calls fn(id) for each weight an op names, so that the caller may change it.
template <class Op, class Fn>
void for_each_weight(Op& op, Fn&& fn) {
  using T = std::remove_const_t<Op>;
  if constexpr (std::is_same_v<T, plan::Embed>) {
    fn(op.table);
  } else if constexpr (std::is_same_v<T, plan::RmsNorm>) {
    fn(op.weight);
  } else if constexpr (std::is_same_v<T, plan::Matmul>) {
    fn(op.weight), fn(op.bias);
  } else if constexpr (std::is_same_v<T, plan::GatedFfn>) {
    fn(op.gate), fn(op.up);
  } else if constexpr (std::is_same_v<T, plan::Rope>) {
    fn(op.params.freq_factors);
  } else if constexpr (std::is_same_v<T, plan::Moe>) {
    fn(op.gate), fn(op.up), fn(op.down);
  } else if constexpr (std::is_same_v<T, plan::GatedDeltaNet>) {
    fn(op.conv), fn(op.a_scale), fn(op.dt_bias);
  }
}

// Which weights and layers ops [begin, end) use; numbered in the model's order.
void find_share(const plan::Plan& plan, size_t begin, size_t end, Side& side) {
  std::set<WeightId> weights;
  std::set<int32_t> kv, state;
  for (size_t i = begin; i < end; ++i)
    std::visit(
        [&](const auto& op) {
          using T = std::decay_t<decltype(op)>;
          for_each_weight(op, [&](WeightId w) {
            if (w != kNoWeight) weights.insert(w);
          });
          if constexpr (std::is_same_v<T, plan::Attention>) kv.insert(op.layer);
          if constexpr (std::is_same_v<T, plan::GatedDeltaNet>) state.insert(op.layer);
        },
        plan.ops[i]);
  side.weights.assign(weights.begin(), weights.end());
  const auto number = [](const std::set<int32_t>& used) {
    std::vector<int32_t> ids(used.empty() ? 0 : *used.rbegin() + 1, -1);
    int32_t next = 0;
    for (const int32_t id : used) ids[id] = next++;
    return ids;
  };
  side.weight_of = number(weights), side.kv_of = number(kv), side.state_of = number(state);
}

// -1: of no layer.
int32_t layer_of(const std::string& name) {
  int32_t layer = 0;
  if (!name.starts_with("blk.")) return -1;
  const auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  return error == std::errc() && end != name.data() + name.size() && *end == '.' ? layer : -1;
}

class SplitExecutable final : public plan::Executable {
 public:
  SplitExecutable(SplitBackend& backend, Side& front, Side& back, const plan::Plan& plan, size_t cut,
                  const plan::StepLimits& limits)
      : backend_(backend),
        front_plan_(front.part_of(plan, 0, cut)),
        back_plan_(back.part_of(plan, cut, plan.ops.size())),
        front_(front.backend->prepare(front_plan_, limits)),
        back_(back.backend->prepare(back_plan_, limits)) {}

  uint64_t scratch_bytes() const override { return front_->scratch_bytes() + back_->scratch_bytes(); }
  uint64_t device_scratch_bytes() const override {
    return front_->device_scratch_bytes() + back_->device_scratch_bytes();
  }
  plan::Status submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept override;
  void keep(std::span<const int32_t> rows) noexcept override { front_->keep(rows), back_->keep(rows); }

 private:
  // A step's pages and states as one side numbers them.
  struct Ids {
    std::vector<int32_t> pages, states;
    std::vector<std::span<const plan::PageId>> tables;
  };
  template <class Pick>
  plan::Step step_of(const plan::Step& step, Ids& ids, Pick pick) const;

  SplitBackend& backend_;
  plan::Plan front_plan_, back_plan_;
  std::unique_ptr<plan::Executable> front_, back_;
  Ids front_ids_, back_ids_;
};

// Grows with the largest step so far: after that no step allocates.
template <class Pick>
plan::Step SplitExecutable::step_of(const plan::Step& step, Ids& ids, Pick pick) const {
  ids.pages.clear(), ids.states.clear(), ids.tables.clear();
  for (const auto& table : step.page_tables)
    for (const plan::PageId id : table) ids.pages.push_back(pick(backend_.page(id)));
  size_t at = 0;
  for (const auto& table : step.page_tables) {
    ids.tables.emplace_back(ids.pages.data() + at, table.size());
    at += table.size();
  }
  for (const plan::StateId id : step.states) ids.states.push_back(id < 0 ? id : pick(backend_.state(id)));
  plan::Step own = step;
  own.page_tables = ids.tables;
  own.states = ids.states;
  return own;
}

plan::Status SplitExecutable::submit(const plan::Step& step, float* logits, int64_t logits_stride) noexcept {
  plan::Step front, back;
  try {
    front = step_of(step, front_ids_, [](const auto& pair) { return pair.first; });
    back = step_of(step, back_ids_, [](const auto& pair) { return pair.second; });
  } catch (const std::bad_alloc&) {
    return plan::Status::kOutOfMemory;
  }
  if (const plan::Status s = front_->submit(front, nullptr, 0); s != plan::Status::kOk) return s;
  for (const ValueId v : back_plan_.imports) {
    const plan::Value& value = back_plan_.values[v];
    const size_t rows = value.extent == plan::Extent::kRows ? step.tokens.size() : step.output_rows.size();
    std::memcpy(back_->exchange(v), front_->exchange(v),
                rows * plan::row_stride(value.width) * sizeof(float));
  }
  return back_->submit(back, logits, logits_stride);
}

}  // namespace

size_t first_op_of(const plan::Plan& plan, std::span<const plan::Weight> weights, int32_t n_layers,
                   int32_t layer) {
  bool in_layers = false;
  for (size_t i = 0; i < plan.ops.size(); ++i) {
    int32_t of = -1;
    bool has_weight = false;
    std::visit(
        [&](const auto& op) {
          for_each_weight(op, [&](WeightId w) {
            if (w == kNoWeight) return;
            has_weight = true;
            of = std::max(of, layer_of(weights[w].name));
          });
        },
        plan.ops[i]);
    if (!has_weight) continue;
    in_layers |= of >= 0;
    if (of >= layer || (of < 0 && in_layers && layer >= n_layers)) return i;
  }
  return plan.ops.size();
}

uint64_t bytes_from(const plan::Plan& plan, std::span<const plan::Weight> weights, size_t first,
                    const plan::KvShape& kv, KvType k, KvType v, int64_t n_tokens) {
  Side side;
  find_share(plan, first, plan.ops.size(), side);
  uint64_t bytes = 0;
  for (const WeightId w : side.weights)
    bytes += dtype_bytes(weights[w].dtype, weights[w].cols) * weights[w].rows;
  for (size_t i = 0; i < side.kv_of.size(); ++i)
    if (side.kv_of[i] >= 0) {
      const uint64_t n = uint64_t(kv.layers[i].n_kv_heads) * kv.layers[i].head_dim;
      bytes += (plan::kv_bytes(k, n) + plan::kv_bytes(v, n)) * n_tokens;
    }
  return bytes;
}

plan::Plan Side::part_of(const plan::Plan& plan, size_t begin, size_t end) const {
  plan::Plan part;
  part.values = plan.values;
  std::set<ValueId> before, inside, after;
  for (size_t i = 0; i < plan.ops.size(); ++i)
    plan::for_each_value(plan.ops[i], [&](ValueId v, bool) {
      (i < begin ? before : i < end ? inside : after).insert(v);
    });
  for (const ValueId v : inside) {
    if (before.contains(v)) part.imports.push_back(v);
    if (after.contains(v)) part.exports.push_back(v);
  }
  if (inside.contains(plan.output)) part.output = plan.output;
  part.ops.assign(plan.ops.begin() + static_cast<ptrdiff_t>(begin),
                  plan.ops.begin() + static_cast<ptrdiff_t>(end));
  for (plan::Op& any : part.ops)
    std::visit(
        [&](auto& op) {
          using T = std::decay_t<decltype(op)>;
          for_each_weight(op, [&](WeightId& w) {
            if (w != kNoWeight) w = weight_of[w];
          });
          if constexpr (std::is_same_v<T, plan::Attention>) op.layer = kv_of[op.layer];
          if constexpr (std::is_same_v<T, plan::GatedDeltaNet>) op.layer = state_of[op.layer];
        },
        any);
  return part;
}

SplitBackend::SplitBackend(std::unique_ptr<plan::Backend> front, std::unique_ptr<plan::Backend> back,
                           const plan::Plan& plan, size_t cut)
    : cut_(cut) {
  front_.backend = std::move(front), back_.backend = std::move(back);
  find_share(plan, 0, cut, front_);
  find_share(plan, cut, plan.ops.size(), back_);
}

std::string SplitBackend::describe() const {
  return fmt::format("{} and {}", front_.backend->describe(), back_.backend->describe());
}

void SplitBackend::declare_weights(std::vector<plan::Weight> weights) {
  n_weights_ = weights.size();
  for (Side* side : {&front_, &back_}) {
    std::vector<plan::Weight> own;
    for (const WeightId id : side->weights) own.push_back(weights[id]);
    side->weight_of.resize(n_weights_, kNoWeight);
    side->backend->declare_weights(std::move(own));
  }
}

void SplitBackend::write_weight(WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) {
  for (Side* side : {&front_, &back_})
    if (side->weight_of[id] != kNoWeight)
      side->backend->write_weight(side->weight_of[id], first_row, n_rows, data);
}

std::optional<plan::DeviceMemory> SplitBackend::device_memory() const {
  return back_.backend->device_memory();  // the front's is the system's
}

void SplitBackend::set_kv(const plan::KvShape& shape, KvType k, KvType v) {
  for (Side* side : {&front_, &back_}) {
    plan::KvShape own;
    side->kv_of.resize(shape.layers.size(), -1);
    for (size_t i = 0; i < shape.layers.size(); ++i)
      if (side->kv_of[i] >= 0) own.layers.push_back(shape.layers[i]);
    side->backend->set_kv(own, k, v);
  }
}

void SplitBackend::set_state(const plan::StateShape& shape) {
  for (Side* side : {&front_, &back_}) {
    plan::StateShape own;
    side->state_of.resize(shape.layers.size(), -1);
    for (size_t i = 0; i < shape.layers.size(); ++i)
      if (side->state_of[i] >= 0) own.layers.push_back(shape.layers[i]);
    side->backend->set_state(own);
  }
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
  const plan::PageId front = front_.backend->allocate_page();
  try {
    return pages_.add({front, back_.backend->allocate_page()});
  } catch (...) {
    front_.backend->free_page(front);
    throw;
  }
}

void SplitBackend::free_page(plan::PageId id) noexcept {
  front_.backend->free_page(pages_.pairs[id].first);
  back_.backend->free_page(pages_.pairs[id].second);
  pages_.free.push_back(id);
}

void SplitBackend::copy_page(plan::PageId to, plan::PageId from) {
  front_.backend->copy_page(pages_.pairs[to].first, pages_.pairs[from].first);
  back_.backend->copy_page(pages_.pairs[to].second, pages_.pairs[from].second);
}

plan::StateId SplitBackend::allocate_state() {
  const plan::StateId front = front_.backend->allocate_state();
  try {
    return states_.add({front, back_.backend->allocate_state()});
  } catch (...) {
    front_.backend->free_state(front);
    throw;
  }
}

void SplitBackend::free_state(plan::StateId id) noexcept {
  front_.backend->free_state(states_.pairs[id].first);
  back_.backend->free_state(states_.pairs[id].second);
  states_.free.push_back(id);
}

void SplitBackend::copy_state(plan::StateId to, plan::StateId from) {
  front_.backend->copy_state(states_.pairs[to].first, states_.pairs[from].first);
  back_.backend->copy_state(states_.pairs[to].second, states_.pairs[from].second);
}

std::unique_ptr<plan::Executable> SplitBackend::prepare(const plan::Plan& plan,
                                                        const plan::StepLimits& limits) {
  return std::make_unique<SplitExecutable>(*this, front_, back_, plan, cut_, limits);
}

void SplitBackend::recover() { front_.backend->recover(), back_.backend->recover(); }

}  // namespace moraine::split
