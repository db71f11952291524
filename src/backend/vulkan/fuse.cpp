#include "backend/vulkan/fuse.h"

#include <algorithm>

#include "backend/vulkan/op_recorder.h"

namespace moraine::vulkan {
namespace {

using plan::ValueId;

template <class T>
const T* op_at(const plan::Plan& plan, size_t i) {
  return i < plan.ops.size() ? std::get_if<T>(&plan.ops[i]) : nullptr;
}

// Whether a value matters to ops from `first` on, or beyond the plan.
bool is_read(const plan::Plan& plan, ValueId v, size_t first) {
  bool found = v == plan.output;
  for (size_t i = first; i < plan.ops.size(); ++i)
    plan::for_each_value(plan.ops[i], [&](ValueId other, bool) { found |= other == v; });
  return found;
}

size_t products_at(const plan::Plan& plan, size_t first) {
  const auto* one = op_at<plan::Matmul>(plan, first);
  size_t n = one ? 1 : 0;
  while (n > 0 && n < kMaxProducts) {
    const auto* next = op_at<plan::Matmul>(plan, first + n);
    if (!next || next->in != one->in) break;
    ++n;
  }
  return n > 1 ? n : 0;
}

bool is_of_rows(const plan::Plan& plan, const plan::RmsNorm& norm) {
  return norm.group == plan.values[norm.in].width;
}

size_t norm_at(const plan::Plan& plan, size_t first) {
  const auto* added = op_at<plan::RmsNorm>(plan, first);
  const size_t at = added ? first + 1 : first;
  const auto* add = op_at<plan::Add>(plan, at);
  const auto* norm = op_at<plan::RmsNorm>(plan, at + 1);
  if (!add || !norm || norm->in != add->inout || add->in == add->inout || !is_of_rows(plan, *norm)) return 0;
  if (added && (added->out != add->in || added->in == add->inout || !is_of_rows(plan, *added) ||
                is_read(plan, added->out, at + 1)))
    return 0;
  return at + 2 - first;
}

// The ops [first, end) as what goes with the attention at `end`; false: they do not.
bool match_begin(const plan::Plan& plan, size_t first, size_t end, AttentionBegin& begin) {
  const auto& a = std::get<plan::Attention>(plan.ops[end]);
  for (size_t i = first; i < end; ++i) {
    if (const auto* norm = op_at<plan::RmsNorm>(plan, i)) {
      const auto*& place = norm->out == a.q ? begin.q_norm : begin.k_norm;
      const plan::Rope* rope = norm->out == a.q ? begin.q_rope : begin.k_rope;
      if ((norm->out != a.q && norm->out != a.k) || place || rope || norm->group != a.head_dim) return false;
      place = norm;
    } else if (const auto* rope = op_at<plan::Rope>(plan, i)) {
      const auto*& place = rope->inout == a.q ? begin.q_rope : begin.k_rope;
      const int32_t n_heads = rope->inout == a.q ? a.n_heads : a.n_kv_heads;
      if ((rope->inout != a.q && rope->inout != a.k) || place || rope->head_dim != a.head_dim ||
          rope->n_heads != n_heads)
        return false;
      place = rope;
    } else {
      return false;
    }
  }
  // Keys go to the cache alone; what both have in common the shader has once.
  const bool keys_change = begin.k_norm || begin.k_rope;
  if (a.q == a.k || (keys_change && (is_read(plan, a.k, end + 1) || a.k == a.v))) return false;
  if ((begin.q_rope == nullptr) != (begin.k_rope == nullptr)) return false;
  if (begin.q_rope && (begin.q_rope->params.n_rot != begin.k_rope->params.n_rot ||
                       begin.q_rope->params.kind != begin.k_rope->params.kind))
    return false;
  return !(begin.q_norm && begin.k_norm && begin.q_norm->eps != begin.k_norm->eps);
}

size_t attention_at(const plan::Plan& plan, size_t first) {
  constexpr size_t kMost = 4;  // two norms, two rotations
  for (size_t end = first; end <= first + kMost; ++end)
    if (op_at<plan::Attention>(plan, end)) {
      AttentionBegin begin;
      return match_begin(plan, first, end, begin) ? end + 1 - first : 0;
    }
  return 0;
}

}  // namespace

std::vector<Fused> fuse(const plan::Plan& plan, bool enabled) {
  using Kind = Fused::Kind;
  std::vector<Fused> out;
  for (size_t i = 0; i < plan.ops.size(); i += out.back().n) {
    out.push_back({Kind::kOne, i, 1});
    if (!enabled) continue;
    if (const size_t n = products_at(plan, i))
      out.back() = {Kind::kProducts, i, n};
    else if (const size_t n_norm = norm_at(plan, i))
      out.back() = {Kind::kNorm, i, n_norm};
    else if (const size_t n_attention = attention_at(plan, i); n_attention > 1)
      out.back() = {Kind::kAttention, i, n_attention};
  }
  return out;
}

std::vector<int> phases_of(std::span<const Fused> fused) {
  std::vector<int> phases;
  for (size_t i = 0; i < fused.size(); ++i) phases.insert(phases.end(), fused[i].n, static_cast<int>(i));
  return phases;
}

AttentionBegin begin_of(const plan::Plan& plan, const Fused& fused) {
  AttentionBegin begin;
  match_begin(plan, fused.first, fused.first + fused.n - 1, begin);
  return begin;
}

Readers readers_of(const plan::Plan& plan, ValueId v, size_t first, const TypeOfWeight& type) {
  Readers readers;
  readers.floats = v == plan.output;
  int n_others = 0;  // products of other values so far, each of which may quantise two
  const auto product = [&](ValueId in, std::initializer_list<plan::WeightId> weights) {
    if (in != v) return ++n_others, void();
    for (const plan::WeightId w : weights) {
      const int32_t width = quant_width(type(w));
      if (readers.quant_width == 0) readers.quant_width = width;
      readers.floats |=
          width == 0 || width != readers.quant_width || 2 * n_others + 1 >= WorkLayout::kQuantSlots;
    }
  };
  for (size_t i = first; i < plan.ops.size(); ++i) {
    const plan::Op& op = plan.ops[i];
    if (const auto* matmul = std::get_if<plan::Matmul>(&op)) {
      product(matmul->in, {matmul->weight});
    } else if (const auto* ffn = std::get_if<plan::GatedFfn>(&op)) {
      product(ffn->in, {ffn->gate, ffn->up});
    } else if (const auto* moe = std::get_if<plan::Moe>(&op)) {
      product(moe->in, {moe->gate, moe->up});
      readers.floats |= moe->router == v;
    } else {
      plan::for_each_value(op, [&](ValueId other, bool) { readers.floats |= other == v; });
    }
    // From here on it is another value.
    bool is_written = false;
    plan::for_each_value(op, [&](ValueId other, bool written) { is_written |= written && other == v; });
    if (is_written) break;
  }
  return readers;
}

}  // namespace moraine::vulkan
