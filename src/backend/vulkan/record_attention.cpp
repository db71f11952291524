// Attention: what it begins with (norms and rotations of heads, keys and values stored), the attention
// itself, with few rows split over partitions of keys, and these merged.
#include <fmt/format.h>

#include "backend/vulkan/op_recorder.h"

namespace moraine::vulkan {

OpRecorder::CachePlace OpRecorder::cache_place(int32_t layer) const {
  const plan::KvLayout::Layer& kv = exe_.backend_.kv().layers[layer];
  const StepLayout& step = exe_.step_;
  return {in_step(step.positions),
          in_step(step.sequence_of),
          in_step(step.sequences),
          in_step(step.pages),
          kv.k,
          kv.v};
}

void OpRecorder::operator()(const plan::Attention& op) { attention(op, {}); }

void OpRecorder::attention(const plan::Attention& op, const AttentionBegin& begin) {
  if (op.head_dim > kMaxHeadDim)
    throw Error(ErrorCode::kUnsupported,
                fmt::format("Attention heads of {} values do not run on Vulkan: it takes up to {}. Run on "
                            "the CPU with -ngl 0.",
                            op.head_dim, kMaxHeadDim));
  // A layer's cache lies in pages all over memory; addresses this low stand for it, as no buffer has them.
  const Range cache = {static_cast<uint64_t>(op.layer), static_cast<uint64_t>(op.layer) + 1};
  begin_attention(op, begin, cache);

  const bool split = few_ && exe_.work_.most_partitions > 1;
  const uint64_t partials = work() + exe_.work_.partials;
  struct {
    uint64_t q, dst;
    CachePlace cache;
    uint64_t partials;
    int32_t stride, heads_per_kv, window, most_partitions;
    float scale;
    int32_t unused;
  } attend = {at(op.q),
              at(op.out),
              cache_place(op.layer),
              partials,
              stride(op.q),
              op.n_heads / op.n_kv_heads,
              op.window,
              exe_.work_.most_partitions,
              op.scale,
              0};
  Grid grid = rows_of(op.out, op.n_heads);
  grid.by_partition = split;
  const uint64_t rows = std::min(exe_.limits_.max_rows, kFewRows);
  const Range parts = {partials, partials + rows * op.n_heads * exe_.work_.most_partitions *
                                                (op.head_dim + 2) * sizeof(float)};
  run(Shader::kAttend, grid, attend, {range(op.q), cache}, {split ? parts : range(op.out)},
      {static_cast<uint32_t>(exe_.backend_.kv_type_k()), static_cast<uint32_t>(exe_.backend_.kv_type_v()),
       static_cast<uint32_t>(op.head_dim), split});
  if (split) merge_partitions(op, parts);
}

void OpRecorder::begin_attention(const plan::Attention& op, const AttentionBegin& begin, Range cache) {
  const plan::ValueId q = begin.q_norm ? begin.q_norm->in : op.q, k = begin.k_norm ? begin.k_norm->in : op.k;
  const bool changes_q = begin.q_norm || begin.q_rope;
  const auto angles = [&](const plan::Rope* rope) {
    return rope ? in_step(exe_.step_.ropes[exe_.rope_index(rope->params)]) : 0;
  };
  struct {
    uint64_t q, k, v, rotated, q_norm, k_norm, q_angles, k_angles;
    CachePlace cache;
    int32_t n_heads, n_pairs;
    float eps;
    int32_t unused;
  } push = {at(q),
            at(k),
            at(op.v),
            at(op.q),
            begin.q_norm ? weight(begin.q_norm->weight) : 0,
            begin.k_norm ? weight(begin.k_norm->weight) : 0,
            angles(begin.q_rope),
            angles(begin.k_rope),
            cache_place(op.layer),
            changes_q ? op.n_heads : 0,
            begin.q_rope ? begin.q_rope->params.n_rot / 2 : 0,
            begin.q_norm   ? begin.q_norm->eps
            : begin.k_norm ? begin.k_norm->eps
                           : 0,
            0};
  const bool adjacent = begin.q_rope && begin.q_rope->params.kind == plan::RopeKind::kAdjacent;
  run(Shader::kBeginAttention, rows_of(op.k, push.n_heads + op.n_kv_heads), push,
      {changes_q ? range(q) : Range{}, range(k), range(op.v)}, {cache, changes_q ? range(op.q) : Range{}},
      {static_cast<uint32_t>(exe_.backend_.kv_type_k()), static_cast<uint32_t>(exe_.backend_.kv_type_v()),
       static_cast<uint32_t>(op.head_dim), adjacent});
}

void OpRecorder::merge_partitions(const plan::Attention& op, Range parts) {
  const Written out = written(op.out);
  struct {
    uint64_t partials, dst, quant, positions;
    int32_t n_heads, window, most_partitions, unused;
  } push = {parts.begin,
            at(op.out),
            out.quant.begin,
            in_step(exe_.step_.positions),
            op.n_heads,
            op.window,
            exe_.work_.most_partitions,
            0};
  run(Shader::kMergePartitions, rows_of(op.out, chunks(width(op.out))), push, {parts},
      {out.floats, out.quant}, {static_cast<uint32_t>(op.head_dim), out.quant_width, out.keep});
}

}  // namespace moraine::vulkan
