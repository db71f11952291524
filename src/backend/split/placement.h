// Which of two backends runs each op of a plan, and where a step therefore passes from one to the other.
// Layers are known by the names of their weights ("blk.7.attn_q.weight").
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "plan/plan.h"

namespace moraine::split {

enum class Where : uint8_t { kHost, kDevice };

struct Wishes {
  // The last so many layers on the device; what comes after all of them counts as one more, the last.
  int32_t device_layers = 0;
  int32_t host_expert_layers = 0;  // the experts of the first so many layers on the host
  // By weight: where it must lie, before all of the above. Empty: nothing more is wished.
  std::vector<std::optional<Where>> weights;
};

struct Placement {
  std::vector<Where> ops;  // by op
  // Weights that nobody named and that leave their layer's side with others of their op.
  std::vector<plan::WeightId> along;

  bool all(Where side) const;
};

// An op runs where its weights are wished, one without weights where what it reads was written, and where
// that says nothing or both, with its layer. n_layers: of the model. Throws Error{kInvalidArgument} where
// weights of one op are wished apart.
Placement place(const plan::Plan& plan, std::span<const plan::Weight> weights, int32_t n_layers,
                const Wishes& wishes);

// Layers up to the last one with experts: how many there are to keep on the host.
int32_t count_expert_layers(const plan::Plan& plan, std::span<const plan::Weight> weights);

// Consecutive ops of one side.
struct Segment {
  Where side;
  size_t begin, end;                 // ops
  std::vector<plan::ValueId> taken;  // what they use of the other side, as it is when they begin
};
std::vector<Segment> find_segments(const plan::Plan& plan, const Placement& placement);

}  // namespace moraine::split
