// Experts: rows are routed, pairs (row, expert) sorted by expert and cut into tiles, and a tile's rows go
// through their expert's products together, so that its weights are read once for them. A row's sum then runs
// over its experts by rank, whatever the order of the tiles.
#include <fmt/format.h>

#include "backend/vulkan/op_recorder.h"
#include "backend/vulkan/weights.h"

namespace moraine::vulkan {

constexpr int32_t kMaxExperts = 1024;  // in route.comp and sort_pairs.comp

void OpRecorder::operator()(const plan::Moe& op) {
  const int32_t n_embd = width(op.in);
  if (op.n_experts > kMaxExperts || op.n_ff % kGroupRows != 0 || n_embd % kGroupRows != 0)
    throw Error(
        ErrorCode::kUnsupported,
        fmt::format("{} experts of {} x {} do not run on Vulkan: it takes up to {} of multiples of {}. Run "
                    "on the CPU with -ngl 0.",
                    op.n_experts, n_embd, op.n_ff, kMaxExperts, kGroupRows));
  const WorkLayout& w = exe_.work_;
  const uint64_t n_pairs = uint64_t(exe_.limits_.max_rows) * op.top_k;
  const auto place_of = [&](uint64_t offset, uint64_t bytes) {
    return Range{work() + offset, work() + offset + bytes};
  };
  const Range expert = place_of(w.expert, 4 * n_pairs), weights = place_of(w.expert_weight, 4 * n_pairs),
              pair_at = place_of(w.pair_at, 4 * n_pairs), place = place_of(w.place, 4 * n_pairs),
              tiles = place_of(w.tiles, 16 * (1 + op.n_experts + n_pairs / tile())),
              hidden = place_of(w.hidden, 4 * n_pairs * op.n_ff),
              products = place_of(w.products, 4 * n_pairs * n_embd);

  struct {
    uint64_t logits, expert, weight;
    int32_t n_experts, stride, top_k, normalise;
  } route = {at(op.router),     expert.begin, weights.begin, op.n_experts,
             stride(op.router), op.top_k,     op.normalise};
  run(Shader::kRoute, rows_of(op.out, 1), route, {range(op.router)}, {expert, weights});
  struct {
    uint64_t n_rows, expert, pair_at, place, tiles;
    int32_t n_experts, top_k, most, unused;
  } sort = {count_address(Count::kRows),
            expert.begin,
            pair_at.begin,
            place.begin,
            tiles.begin,
            op.n_experts,
            op.top_k,
            static_cast<int32_t>(tile()),
            0};
  Grid once = rows_of(op.out, 1);
  once.per = ~0u;
  run(Shader::kSortPairs, once, sort, {expert}, {pair_at, place, tiles});

  const auto experts_product = [&](plan::WeightId weight_id, plan::WeightId up_id, const Activations& x,
                                   const Activations& x_up, const Range& dst, uint64_t pairs, int32_t n,
                                   int32_t k) {
    const bool gated = up_id != plan::kNoWeight;
    struct {
      uint64_t weight, up, bias, x, x_up, dst, tiles, pair_at;
      int32_t n, k, x_stride, x_up_stride, dst_stride, top_k;
    } push = {weight(weight_id),
              gated ? weight(up_id) : 0,
              0,
              x.address,
              x_up.address,
              dst.begin,
              tiles.begin,
              pairs,
              n,
              k,
              x.stride,
              x_up.stride,
              n,
              op.top_k};
    Grid grid = rows_of(op.out, groups(n), tile());
    grid.times = op.top_k;
    grid.n_experts = op.n_experts;
    grid.weight_bytes = (bytes_of(weight_id) + bytes_of(up_id)) / op.n_experts;
    run(Shader::kMatmul, grid, push, {x.range, x_up.range, tiles, pair_at}, {dst},
        {static_cast<uint32_t>(dtype(weight_id)), gated ? static_cast<uint32_t>(dtype(up_id)) : ~0u, tile(),
         1, op.act == plan::Activation::kGeluTanh});
  };
  const Activations x = activations(op.in, dtype(op.gate)), x_up = activations(op.in, dtype(op.up));
  experts_product(op.gate, op.up, x, x_up, hidden, pair_at.begin, op.n_ff, n_embd);
  Activations h = {hidden.begin, static_cast<int32_t>(op.n_ff * sizeof(float)), hidden};
  if (const int32_t width = quant_width(dtype(op.down))) {
    const uint64_t row_bytes = quantized_row_bytes(op.n_ff, width);
    const Range quant = place_of(w.hidden_quant, n_pairs * row_bytes);
    Grid grid = rows_of(op.out, chunks(op.n_ff));
    grid.times = op.top_k;
    quantize(hidden.begin, quant.begin, op.n_ff, op.n_ff, width, grid, hidden, quant);
    h = {quant.begin, static_cast<int32_t>(row_bytes), quant};
  }
  experts_product(op.down, plan::kNoWeight, h, h, products, 0, n_embd, op.n_ff);
  struct {
    uint64_t products, place, weight, dst;
    int32_t width, stride, top_k, unused;
  } sum = {products.begin, place.begin, weights.begin, at(op.out), n_embd, stride(op.out), op.top_k, 0};
  run(Shader::kSumExperts, rows_of(op.out, chunks(n_embd)), sum, {products, place, weights}, {range(op.out)});
}

}  // namespace moraine::vulkan
