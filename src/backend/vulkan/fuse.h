// Which ops of a plan go together in one dispatch. Decoding is many small ops, each waiting for the one
// before: what stands around a norm, several products of one input, and what attention begins with in every
// model are one dispatch each. Decided before memory is laid out, as the values of fused ops live at the same
// time.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "plan/plan.h"

namespace moraine::vulkan {

constexpr size_t kMaxProducts = 3;               // of one input, in products.comp
constexpr int32_t kMaxQuantizedRow = 16 * 1024;  // values of a row that a norm quantises

struct Fused {
  enum class Kind : uint8_t {
    kOne,        // one op
    kProducts,   // up to kMaxProducts products of one input
    kNorm,       // a sum, perhaps with a norm before it, and the norm behind it
    kAttention,  // the norms and rotations of queries and keys, and their attention
  };
  Kind kind = Kind::kOne;
  size_t first = 0, n = 1;  // ops
};

// All ops of the plan in order; `enabled` false: one by one.
std::vector<Fused> fuse(const plan::Plan& plan, bool enabled);
// For plan::lay_out_scratch.
std::vector<int> phases_of(std::span<const Fused> fused);

// How ops from `first` on read a value.
struct Readers {
  bool floats = false;      // as it is; also where int8 would have to be kept for too long
  int32_t quant_width = 0;  // as int8, in blocks so wide; of two widths the first to be read
};
using TypeOfWeight = std::function<DType(plan::WeightId)>;
Readers readers_of(const plan::Plan& plan, plan::ValueId v, size_t first, const TypeOfWeight& type);

// What goes with an attention.
struct AttentionBegin {
  const plan::RmsNorm *q_norm = nullptr, *k_norm = nullptr;
  const plan::Rope *q_rope = nullptr, *k_rope = nullptr;
};
AttentionBegin begin_of(const plan::Plan& plan, const Fused& fused);

}  // namespace moraine::vulkan
