// Products: weight groups times activation rows, tiled so that a slice of activations stays in the
// second-level cache while weights stream through. Every output is computed whole by one kernel call:
// K is never split.
#include <algorithm>

#include "backend/cpu/stages.h"

namespace moraine::cpu {
namespace {

constexpr int32_t kRowTile = 128;  // activation rows of one tile
constexpr int64_t kMaxTaskBytes =
    1 << 20;  // of weights: what a thread that is not scheduled may keep from the others
constexpr int32_t kMaxSharedGroups = 64;
constexpr int64_t kAheadBytes = 64 << 10;  // of weights that a waiting thread fetches: well within its cache

}  // namespace

void MatmulStage::run_tile(CpuExecutable& exe, const StepContext& ctx, const Part& part, int32_t g0,
                           int32_t g1, int32_t r0, int32_t r1) noexcept {
  const CpuBackend& be = exe.backend();
  const Kernels& k = be.kernels();
  const CpuWeight& w = be.weight(part.weight);
  const Rows out = exe.rows(part.out, ctx);

  MatmulArgs a = {};
  a.w = w.data + g0 * w.group_bytes;
  a.group_bytes = w.group_bytes;
  a.n_groups = g1 - g0;
  a.k = w.decl.cols;
  a.n_rows = r1 - r0;
  const Rows in = exe.rows(in_, ctx);
  a.xf = in.row(r0);
  a.xf_stride = in.stride;
  if (quant_.width) a.x = quant_.from_row(r0);
  a.y = out.row(r0) + g0 * kGroupRows;
  a.y_stride = out.stride;
  k.matmul[static_cast<int>(w.decl.dtype)](a);

  const int32_t c0 = g0 * kGroupRows;
  const int32_t n = std::min(g1 * kGroupRows, w.decl.rows) - c0;
  if (part.bias != plan::kNoWeight)
    for (int32_t r = r0; r < r1; ++r) k.add(out.row(r) + c0, be.weight(part.bias).vector() + c0, n);
  if (part.up != plan::kNoWeight) {
    const CpuWeight& up = be.weight(part.up);
    const int64_t stride = out.stride;
    a.w = up.data + g0 * up.group_bytes;
    a.group_bytes = up.group_bytes;
    if (part.up_quant.width) a.x = part.up_quant.from_row(r0);
    a.y = exe.pair_scratch() + r0 * stride + c0;
    k.matmul[static_cast<int>(up.decl.dtype)](a);
    const auto combine = part.act == plan::Activation::kSilu ? k.silu_mul : k.gelu_tanh_mul;
    for (int32_t r = r0; r < r1; ++r) combine(out.row(r) + c0, exe.pair_scratch() + r * stride + c0, n);
  }
}

// The groups of all parts, one part behind the other.
Pieces MatmulStage::cut(const CpuBackend& be, int32_t row_tiles, int n_threads) const noexcept {
  int64_t total_groups = 0;
  int64_t group_bytes = 1;
  for (const Part& p : parts_) {
    total_groups += be.weight(p.weight).n_groups;
    group_bytes = std::max(group_bytes, be.weight(p.weight).group_bytes);
  }
  int64_t least = Pieces::worth_claiming(group_bytes);
  int64_t most = (kMaxTaskBytes + group_bytes - 1) / group_bytes;
  if (row_tiles > 1) {
    // Weights that stay in cache for all row tiles; eight tasks a thread even out a busy core.
    const int64_t even = total_groups * row_tiles / (8 * n_threads);
    least = most = std::max(least, std::min<int64_t>(even, kMaxSharedGroups));
  }
  return Pieces(total_groups, least, most, n_threads);
}

template <class Fn>
void MatmulStage::for_parts(const CpuBackend& be, Pieces::Range piece, Fn&& fn) const noexcept {
  int64_t first = 0;  // of the part's groups, counting through all parts
  for (const Part& p : parts_) {
    const int64_t n = be.weight(p.weight).n_groups;
    const int64_t g0 = std::max<int64_t>(0, piece.begin - first), g1 = std::min(n, piece.end - first);
    if (g0 < g1) fn(p, static_cast<int32_t>(g0), static_cast<int32_t>(g1));
    first += n;
  }
}

// Pieces are claimed in their order: a thread gets the piece of its number more often than not.
std::span<const uint8_t> MatmulStage::first_read(const CpuBackend& be, int thread, int n_threads) const {
  const Pieces pieces = cut(be, 1, n_threads);
  std::span<const uint8_t> bytes;
  if (thread >= pieces.count()) return bytes;
  for_parts(be, pieces[thread], [&](const Part& p, int32_t g0, int32_t g1) {
    const CpuWeight& w = be.weight(p.weight);
    if (bytes.empty())
      bytes = {w.data + g0 * w.group_bytes,
               static_cast<size_t>(std::min(kAheadBytes, (g1 - g0) * w.group_bytes))};
  });
  return bytes;
}

void MatmulStage::run(CpuExecutable& exe, const StepContext& ctx) noexcept {
  const int32_t n_rows = ctx.extent(extent_);
  if (n_rows == 0) return;
  ThreadPool& pool = exe.backend().pool();
  const int32_t row_tiles = (n_rows + kRowTile - 1) / kRowTile;
  const Pieces pieces = cut(exe.backend(), row_tiles, pool.active());
  // Row tiles innermost: a piece is taken from memory once and from cache for the other tiles.
  pool.run(pieces.count() * row_tiles, [&](int task, int) {
    const int32_t r0 = task % row_tiles * kRowTile, r1 = std::min(n_rows, r0 + kRowTile);
    for_parts(exe.backend(), pieces[task / row_tiles],
              [&](const Part& p, int32_t g0, int32_t g1) { run_tile(exe, ctx, p, g0, g1, r0, r1); });
  });
}

}  // namespace moraine::cpu
