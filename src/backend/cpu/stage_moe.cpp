// A mixture of experts: rows are routed, (row, expert) pairs sorted by expert, and each expert's weights
// read once for all the rows that chose it. Four loops: route; gate and up; quantise; down and sum. A
// pair's products are kernel calls on its own row, and a row's sum runs over its experts by rank: how
// many rows an expert happens to get moves no bit.
#include <algorithm>
#include <cstring>

#include "backend/cpu/kernels/scalar/math.h"
#include "backend/cpu/pieces.h"
#include "backend/cpu/stages.h"
#include "base/check.h"

namespace moraine::cpu {
namespace {

constexpr int32_t kPairTile = 64;            // pairs of one expert that a task takes
constexpr uint64_t kSumBytes = 16ull << 20;  // of down's products held at a time

uint64_t align64(uint64_t n) { return (n + 63) / 64 * 64; }

// Carves arrays out of memory; without memory it only counts.
struct Carver {
  uint8_t* base;
  uint64_t at = 0;
  template <class T>
  T* take(uint64_t n) {
    T* p = base ? reinterpret_cast<T*>(base + at) : nullptr;
    at += align64(n * sizeof(T));
    return p;
  }
};

int32_t width_of(const CpuWeight& w) { return static_cast<int32_t>(w.layout->scale_width); }

}  // namespace

MoeStage::MoeStage(const plan::Moe& op, const QuantBuffer* gate_quant, const QuantBuffer* up_quant,
                   CpuExecutable& exe)
    : op_(op) {
  if (gate_quant) gate_quant_ = *gate_quant;
  if (up_quant) up_quant_ = *up_quant;
  n_embd_ = exe.value(op.in).width;
  // Experts lie in whole groups of rows; architectures refuse files where they do not.
  MORAINE_CHECK(op.n_ff % kGroupRows == 0 && n_embd_ % kGroupRows == 0);
  exe.need_moe_scratch(lay_out(nullptr, int64_t{exe.limits().max_rows} * op.top_k).bytes);
}

MoeStage::Work MoeStage::lay_out(uint8_t* memory, int64_t n_pairs) const noexcept {
  Carver c{memory};
  Work w = {};
  w.expert = c.take<int32_t>(n_pairs);
  w.weight = c.take<float>(n_pairs);
  w.pair_at = c.take<int32_t>(n_pairs);
  w.place = c.take<int32_t>(n_pairs);
  w.first = c.take<int32_t>(op_.n_experts + 1);
  w.tiles = c.take<Tile>(op_.n_experts + n_pairs / kPairTile);
  w.hidden = c.take<float>(n_pairs * op_.n_ff);
  // Of whichever block width `down` has: 32 needs the most scales.
  w.q = c.take<int8_t>(n_pairs * op_.n_ff);
  w.d = c.take<float>(n_pairs * op_.n_ff / 32);
  w.sums = c.take<int16_t>(n_pairs * op_.n_ff / 16);
  // Columns of the result are summed so many at a time, which bounds the products that wait for their row's
  // sum. By the pairs there are, not those there may be: each slice costs two barriers, and decoding fits in
  // one.
  const int64_t floats = std::max<int64_t>(kSumBytes / sizeof(float), n_pairs * kGroupRows);
  w.n_columns = static_cast<int32_t>(std::min<int64_t>(floats / n_pairs / kGroupRows * kGroupRows, n_embd_));
  w.products = c.take<float>(std::min(floats, n_pairs * n_embd_));
  w.bytes = c.at;
  return w;
}

int64_t MoeStage::thread_floats(const plan::Moe& op, int32_t n_embd) {
  return kPairTile * (int64_t{n_embd} + op.n_ff) + 64;
}

// The top_k largest of a row's logits, descending, of equals the lower index first; and their weights.
void MoeStage::route_row(const float* logits, int32_t* expert, float* weight) const noexcept {
  int32_t n = 0;
  for (int32_t e = 0; e < op_.n_experts; ++e) {
    if (n == op_.top_k && !(logits[e] > logits[expert[n - 1]])) continue;
    int32_t at = n < op_.top_k ? n++ : n - 1;
    for (; at > 0 && logits[e] > logits[expert[at - 1]]; --at) expert[at] = expert[at - 1];
    expert[at] = e;
  }
  const float top = logits[expert[0]];
  float sum = 0.0f;
  if (!op_.normalise)
    for (int32_t e = 0; e < op_.n_experts; ++e) sum += exp_spec(logits[e] - top);
  for (int32_t j = 0; j < op_.top_k; ++j) {
    weight[j] = exp_spec(logits[expert[j]] - top);
    if (op_.normalise) sum += weight[j];  // the sum over all experts cancels
  }
  for (int32_t j = 0; j < op_.top_k; ++j) weight[j] /= sum;
}

// Sorts pairs by expert, rows ascending, and cuts them into tiles. Returns the number of tiles.
int32_t MoeStage::sort_pairs(const Work& w, int32_t n_pairs) const noexcept {
  std::fill_n(w.first, op_.n_experts + 1, 0);
  for (int32_t p = 0; p < n_pairs; ++p) ++w.first[w.expert[p] + 1];
  int32_t n_tiles = 0;
  for (int32_t e = 0; e < op_.n_experts; ++e) {
    const int32_t n = w.first[e + 1];
    w.first[e + 1] += w.first[e];
    for (int32_t at = 0; at < n; at += kPairTile)
      w.tiles[n_tiles++] = {e, w.first[e] + at, std::min(kPairTile, n - at)};
  }
  for (int32_t p = 0; p < n_pairs; ++p) {
    const int32_t place = w.first[w.expert[p]]++;  // from here on, first[e] is where e's pairs end
    w.place[p] = place;
    w.pair_at[place] = p;
  }
  return n_tiles;
}

// hidden = act(gate x) * (up x) for groups [g0, g1) of a tile's pairs.
void MoeStage::gate_up(CpuExecutable& exe, const StepContext& ctx, const Work& w, const Tile& tile,
                       int32_t g0, int32_t g1, float* scratch) const noexcept {
  const CpuBackend& be = exe.backend();
  const Kernels& k = be.kernels();
  const int32_t groups = op_.n_ff / kGroupRows;
  float* up_out = scratch;  // [n][columns of this chunk]
  const int32_t n_columns = (g1 - g0) * kGroupRows;
  float* gathered = scratch + static_cast<int64_t>(kPairTile) * op_.n_ff;
  const auto row_of = [&](int32_t i) { return w.pair_at[tile.first + i] / op_.top_k; };

  const auto product = [&](plan::WeightId id, const QuantBuffer& quant, bool gather, float* y,
                           int64_t stride) {
    const CpuWeight& weight = be.weight(id);
    MatmulArgs a = {};
    a.w = weight.data + (static_cast<int64_t>(tile.expert) * groups + g0) * weight.group_bytes;
    a.group_bytes = weight.group_bytes;
    a.n_groups = g1 - g0;
    a.k = n_embd_;
    a.n_rows = tile.n;
    if (quant.width) {
      auto* q = reinterpret_cast<int8_t*>(gathered);
      auto* d = reinterpret_cast<float*>(q + static_cast<int64_t>(kPairTile) * n_embd_);
      auto* sums = reinterpret_cast<int16_t*>(d + static_cast<int64_t>(kPairTile) * (n_embd_ / quant.width));
      const int32_t n_d = n_embd_ / quant.width, n_s = n_embd_ / 16;
      for (int32_t i = 0; gather && i < tile.n; ++i) {
        const QuantRows from = quant.from_row(row_of(i));
        std::memcpy(q + static_cast<int64_t>(i) * n_embd_, from.q, n_embd_);
        std::memcpy(d + static_cast<int64_t>(i) * n_d, from.d, n_d * sizeof(float));
        std::memcpy(sums + static_cast<int64_t>(i) * n_s, from.sums, n_s * sizeof(int16_t));
      }
      a.x = {q, d, sums, n_embd_, n_d, n_s};
    } else {
      const Rows in = exe.rows(op_.in, ctx);
      for (int32_t i = 0; gather && i < tile.n; ++i)
        std::memcpy(gathered + static_cast<int64_t>(i) * n_embd_, in.row(row_of(i)), n_embd_ * sizeof(float));
      a.xf = gathered;
      a.xf_stride = n_embd_;
    }
    a.y = y;
    a.y_stride = stride;
    k.matmul[static_cast<int>(weight.decl.dtype)](a);
  };
  float* hidden = w.hidden + static_cast<int64_t>(tile.first) * op_.n_ff + g0 * kGroupRows;
  product(op_.gate, gate_quant_, true, hidden, op_.n_ff);
  product(op_.up, up_quant_, gate_quant_.width != up_quant_.width, up_out, n_columns);
  const auto combine = op_.act == plan::Activation::kSilu ? k.silu_mul : k.gelu_tanh_mul;
  for (int32_t i = 0; i < tile.n; ++i)
    combine(hidden + static_cast<int64_t>(i) * op_.n_ff, up_out + static_cast<int64_t>(i) * n_columns,
            n_columns);
}

// products = down hidden, for groups [g0, g1) of a tile's pairs; columns count from first_column.
void MoeStage::down(CpuExecutable& exe, const Work& w, const Tile& tile, int32_t g0, int32_t g1,
                    int32_t first_column) const noexcept {
  const CpuBackend& be = exe.backend();
  const CpuWeight& weight = be.weight(op_.down);
  MatmulArgs a = {};
  a.w = weight.data + (static_cast<int64_t>(tile.expert) * (n_embd_ / kGroupRows) + g0) * weight.group_bytes;
  a.group_bytes = weight.group_bytes;
  a.n_groups = g1 - g0;
  a.k = op_.n_ff;
  a.n_rows = tile.n;
  const int64_t at = tile.first;
  if (const int32_t width = width_of(weight)) {
    const int32_t n_d = op_.n_ff / width, n_s = op_.n_ff / 16;
    a.x = {w.q + at * op_.n_ff, w.d + at * n_d, w.sums + at * n_s, op_.n_ff, n_d, n_s};
  } else {
    a.xf = w.hidden + at * op_.n_ff;
    a.xf_stride = op_.n_ff;
  }
  a.y = w.products + at * w.n_columns + (g0 * kGroupRows - first_column);
  a.y_stride = w.n_columns;
  be.kernels().matmul[static_cast<int>(weight.decl.dtype)](a);
}

// Runs fn(tile, g0, g1, thread) over n_groups groups of every tile, counting through all tiles: a decode row
// has fewer experts than would make even tasks.
template <class Fn>
void MoeStage::for_each_tile(ThreadPool& pool, const Work& w, int32_t n_tiles, int32_t first_group,
                             int32_t n_groups, int64_t group_bytes, Fn&& fn) const noexcept {
  const Pieces pieces(int64_t{n_tiles} * n_groups, Pieces::worth_claiming(group_bytes), n_groups,
                      pool.active());
  pool.run(pieces.count(), [&](int task, int thread) {
    const Pieces::Range piece = pieces[task];
    for (int64_t at = piece.begin; at < piece.end;) {
      const int64_t tile = at / n_groups, end = std::min(piece.end, (tile + 1) * n_groups);
      fn(w.tiles[tile], static_cast<int32_t>(first_group + at - tile * n_groups),
         static_cast<int32_t>(first_group + end - tile * n_groups), thread);
      at = end;
    }
  });
}

void MoeStage::run(CpuExecutable& exe, const StepContext& ctx) noexcept {
  if (ctx.n_rows == 0) return;
  CpuBackend& be = exe.backend();
  const Kernels& k = be.kernels();
  ThreadPool& pool = be.pool();
  const int32_t n_pairs = ctx.n_rows * op_.top_k;
  const Work w = lay_out(exe.moe_scratch(), n_pairs);
  const Rows router = exe.rows(op_.router, ctx), out = exe.rows(op_.out, ctx);
  const int32_t row_chunk = std::max(1, ctx.n_rows / (4 * pool.size()));
  const int32_t row_tasks = (ctx.n_rows + row_chunk - 1) / row_chunk;
  const auto for_rows = [&](auto&& fn) {
    pool.run(row_tasks, [&](int task, int) {
      const int32_t end = std::min(ctx.n_rows, (task + 1) * row_chunk);
      for (int32_t r = task * row_chunk; r < end; ++r) fn(r);
    });
  };

  for_rows([&](int32_t r) {
    route_row(router.row(r), w.expert + static_cast<int64_t>(r) * op_.top_k,
              w.weight + static_cast<int64_t>(r) * op_.top_k);
  });
  const int32_t n_tiles = sort_pairs(w, n_pairs);
  for_each_tile(pool, w, n_tiles, 0, op_.n_ff / kGroupRows, be.weight(op_.gate).group_bytes,
                [&](const Tile& tile, int32_t g0, int32_t g1, int thread) {
                  gate_up(exe, ctx, w, tile, g0, g1, exe.thread_scratch(thread));
                });
  if (const int32_t width = width_of(be.weight(op_.down))) {
    const auto quantise = width == 32 ? k.quantize32 : k.quantize256;
    for_rows([&](int32_t r) {  // any pairs will do: as many as the row has
      for (int64_t p = int64_t{r} * op_.top_k; p < int64_t{r + 1} * op_.top_k; ++p)
        quantise(w.hidden + p * op_.n_ff, op_.n_ff, w.q + p * op_.n_ff, w.d + p * (op_.n_ff / width),
                 w.sums + p * (op_.n_ff / 16));
    });
  }
  for (int32_t column = 0; column < n_embd_; column += w.n_columns) {
    const int32_t n = std::min(w.n_columns, n_embd_ - column);
    for_each_tile(pool, w, n_tiles, column / kGroupRows, n / kGroupRows, be.weight(op_.down).group_bytes,
                  [&](const Tile& tile, int32_t g0, int32_t g1, int) { down(exe, w, tile, g0, g1, column); });
    for_rows([&](int32_t r) {
      float* y = out.row(r) + column;
      std::fill_n(y, n, 0.0f);
      for (int32_t j = 0; j < op_.top_k; ++j) {
        const int64_t pair = int64_t{r} * op_.top_k + j;
        k.add_scaled(y, w.products + int64_t{w.place[pair]} * w.n_columns, w.weight[pair], n);
      }
    });
  }
}

}  // namespace moraine::cpu
