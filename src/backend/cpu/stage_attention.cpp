// Attention: tiles of queries that share keys, partition after partition in ascending order. A
// partition (512 keys at absolute positions) has its own online softmax; partitions are merged
// ascending, by one thread or after a parallel pass: the same operations, hence the same bits.
#include <algorithm>
#include <cmath>

#include "backend/cpu/kernels/scalar/math.h"
#include "backend/cpu/stages.h"

namespace moraine::cpu {
namespace {

constexpr int32_t kFewQueries = 16;     // of a tile where there are few tiles
constexpr int32_t kMaxSplitRows = 4;    // whose partitions' states there is room for
constexpr int32_t kTilesPerThread = 8;  // with more, threads are even without splitting tiles
constexpr int kPagesOfPartition = kPartition / plan::kPageTokens;

// (M, L, O) <- (M, L, O) merged with (m, l, o)
void merge(float& M, float& L, float* O, float m, float l, const float* o, int32_t n) {
  const float top = m > M ? m : M;
  const float a = exp_spec(M - top), b = exp_spec(m - top);
  M = top;
  L = L * a + l * b;
  for (int32_t i = 0; i < n; ++i) O[i] = O[i] * a + o[i] * b;
}

int32_t first_key(const plan::Attention& op, int32_t pos) {
  return op.window > 0 ? std::max(0, pos - op.window + 1) : 0;
}

}  // namespace

// One thread's room: scaled queries, kernel scratch, one State.
int64_t AttentionStage::thread_floats(const plan::Attention& op) {
  return 2ll * kMaxQueries * op.head_dim + attend_scratch_floats(op.head_dim) + 2 * kMaxQueries;
}

AttentionStage::AttentionStage(const plan::Attention& op, CpuExecutable& exe) : op_(op) {
  const int32_t group = op.n_heads / op.n_kv_heads;
  heads_per_tile_ = std::min(group, kFewQueries);
  tiles_per_kv_head_ = (group + heads_per_tile_ - 1) / heads_per_tile_;
  ranges_.reserve(exe.limits().max_rows);
  max_partitions_ = (exe.limits().max_context - 1) / kPartition + 1;
  if (max_partitions_ > 1 && exe.backend().pool().size() > 1) {
    split_tiles_ = std::min(kMaxSplitRows, exe.limits().max_rows) * op.n_kv_heads * tiles_per_kv_head_;
    exe.need_split_scratch(4ull * split_tiles_ * max_partitions_ * kFewQueries * (op.head_dim + 2));
  }
}

// Large tiles turn keys and values to floats less often; but there must be some for every thread.
void AttentionStage::cut_rows(const StepContext& ctx, int32_t n_tiles_wanted) {
  const auto seq = ctx.step->sequences;
  for (int32_t rows = kMaxQueries / heads_per_tile_;; rows /= 2) {
    ranges_.clear();
    for (int32_t r = 0; r < ctx.n_rows; ++r) {
      if (!ranges_.empty() && ranges_.back().n < rows && seq[r] == seq[r - 1])
        ++ranges_.back().n;
      else
        ranges_.push_back({r, 1});
    }
    if (rows * heads_per_tile_ <= kFewQueries || n_tiles() >= n_tiles_wanted) return;
  }
}

AttentionStage::Tile AttentionStage::tile(int32_t index) const {
  const int32_t per_range = op_.n_kv_heads * tiles_per_kv_head_;
  const RowRange& range = ranges_[index / per_range];
  const int32_t kv_head = index % per_range / tiles_per_kv_head_;
  const int32_t group = op_.n_heads / op_.n_kv_heads;
  const int32_t first = index % tiles_per_kv_head_ * heads_per_tile_;
  return {range.first, range.n, kv_head, kv_head * group + first, std::min(heads_per_tile_, group - first)};
}

int32_t AttentionStage::first_partition(const StepContext& ctx, const Tile& t) const {
  return first_key(op_, ctx.step->positions[t.first_row]) / kPartition;
}
int32_t AttentionStage::last_partition(const StepContext& ctx, const Tile& t) const {
  return ctx.step->positions[t.first_row + t.n_rows - 1] / kPartition;
}

void AttentionStage::partition(CpuExecutable& exe, const StepContext& ctx, const Tile& t, int32_t index,
                               const State& out, int thread) noexcept {
  const CpuBackend& be = exe.backend();
  const int32_t hd = op_.head_dim, n = t.n_queries();
  float* const scaled = exe.thread_scratch(thread);
  const Rows q = exe.rows(op_.q, ctx);

  const float* qs[kMaxQueries];
  float* os[kMaxQueries];
  int32_t lo[kMaxQueries], hi[kMaxQueries];
  int32_t low = INT32_MAX, high = 0;
  for (int32_t i = 0; i < n; ++i) {
    const int32_t pos = ctx.step->positions[t.row(i)];
    const float* src = q.row(t.row(i)) + t.head(i) * hd;
    for (int32_t c = 0; c < hd; ++c) scaled[i * hd + c] = src[c] * op_.scale;
    if (be.kv_type_k() == KvType::kQ4_0) be.kernels().rotate32(scaled + i * hd, hd);
    qs[i] = scaled + i * hd;
    os[i] = out.o + i * hd;
    std::fill_n(os[i], hd, 0.0f);
    out.m[i] = -INFINITY;
    out.l[i] = 0.0f;
    lo[i] = first_key(op_, pos);
    hi[i] = pos + 1;
    low = std::min(low, lo[i]);
    high = std::max(high, hi[i]);
  }
  const int32_t begin = std::max(index * kPartition, low / kKvBlock * kKvBlock);
  const int32_t end = std::min((index + 1) * kPartition, high);
  if (begin >= end) return;

  const auto pages = ctx.step->page_tables[ctx.step->sequences[t.first_row]];
  const uint8_t* k_pages[kPagesOfPartition];
  const uint8_t* v_pages[kPagesOfPartition];
  const int32_t first_page = begin / plan::kPageTokens;
  for (int32_t p = first_page; p <= (end - 1) / plan::kPageTokens; ++p) {
    k_pages[p - first_page] = be.page(pages[p]) + be.k_offset(op_.layer, t.kv_head);
    v_pages[p - first_page] = be.page(pages[p]) + be.v_offset(op_.layer, t.kv_head);
  }
  AttendArgs a = {};
  a.head_dim = hd;
  a.n_q = n;
  a.q = qs;
  a.lo = lo;
  a.hi = hi;
  a.begin = begin;
  a.end = end;
  a.k_pages = k_pages;
  a.v_pages = v_pages;
  a.m = out.m;
  a.l = out.l;
  a.o = os;
  a.scratch = scaled + kMaxQueries * hd;
  be.kernels().attend[static_cast<int>(be.kv_type_k())][static_cast<int>(be.kv_type_v())](a);
}

template <class StateOf>
void AttentionStage::combine(CpuExecutable& exe, const StepContext& ctx, const Tile& t,
                             StateOf&& state_of) noexcept {
  const int32_t hd = op_.head_dim, n = t.n_queries();
  const Rows out = exe.rows(op_.out, ctx);
  float M[kMaxQueries], L[kMaxQueries];
  for (int32_t i = 0; i < n; ++i) {
    std::fill_n(out.row(t.row(i)) + t.head(i) * hd, hd, 0.0f);
    M[i] = -INFINITY;
    L[i] = 0.0f;
  }
  for (int32_t p = first_partition(ctx, t); p <= last_partition(ctx, t); ++p) {
    const State s = state_of(p);
    for (int32_t i = 0; i < n; ++i)
      if (s.l[i] != 0.0f)  // else this query sees nothing of the partition
        merge(M[i], L[i], out.row(t.row(i)) + t.head(i) * hd, s.m[i], s.l[i], s.o + i * hd, hd);
  }
  for (int32_t i = 0; i < n; ++i) {
    float* o = out.row(t.row(i)) + t.head(i) * hd;
    for (int32_t c = 0; c < hd; ++c) o[c] /= L[i];
  }
}

void AttentionStage::run(CpuExecutable& exe, const StepContext& ctx) noexcept {
  ThreadPool& pool = exe.backend().pool();
  const int32_t hd = op_.head_dim;
  const int32_t enough = kTilesPerThread * pool.active() + 1;
  cut_rows(ctx, enough);
  const int32_t n_tiles = this->n_tiles();

  int32_t longest = 1;
  for (int32_t i = 0; i < n_tiles; i += op_.n_kv_heads * tiles_per_kv_head_)
    longest = std::max(longest, last_partition(ctx, tile(i)) - first_partition(ctx, tile(i)) + 1);
  if (split_tiles_ == 0 || longest == 1 || n_tiles >= enough) {
    pool.run(n_tiles, [&](int task, int thread) {
      const Tile t = tile(task);
      float* o = exe.thread_scratch(thread) + kMaxQueries * hd + attend_scratch_floats(hd);
      const State own{o + kMaxQueries * hd, o + kMaxQueries * hd + kMaxQueries, o};
      combine(exe, ctx, t, [&](int32_t p) {
        partition(exe, ctx, t, p, own, thread);
        return own;
      });
    });
    return;
  }
  // As many tiles at a time as there is room for: more rows take longer in proportion, without a cliff.
  for (int32_t first = 0; first < n_tiles; first += split_tiles_) {
    const int32_t n = std::min(split_tiles_, n_tiles - first);
    const auto slot = [&](int32_t i, int32_t p) {
      float* o =
          exe.split_scratch() + (static_cast<size_t>(i) * max_partitions_ + p) * kFewQueries * (hd + 2);
      return State{o + kFewQueries * hd, o + kFewQueries * hd + kFewQueries, o};
    };
    // Tiles innermost: a partition's keys and values are taken from memory once and from cache for all rows.
    pool.run(n * longest, [&](int task, int thread) {
      const int32_t i = task % n;
      const Tile t = tile(first + i);
      const int32_t p = first_partition(ctx, t) + task / n;
      if (p <= last_partition(ctx, t)) partition(exe, ctx, t, p, slot(i, p), thread);
    });
    pool.run(n,
             [&](int i, int) { combine(exe, ctx, tile(first + i), [&](int32_t p) { return slot(i, p); }); });
  }
}

}  // namespace moraine::cpu
