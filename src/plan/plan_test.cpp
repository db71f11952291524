#include "plan/plan.h"

#include <gtest/gtest.h>

namespace moraine::plan {
namespace {

std::vector<Weight> weights() {
  return {{"embd", DType::kF32, WeightRole::kMatrix, 64, 100},
          {"norm", DType::kF32, WeightRole::kVector, 64, 1},
          {"up", DType::kF32, WeightRole::kMatrix, 64, 200},
          {"down", DType::kF32, WeightRole::kMatrix, 200, 64}};
}

Plan chain(int layers) {
  auto w = weights();
  Builder b(w);
  ValueId x = b.embed(0);
  for (int i = 0; i < layers; ++i) {
    ValueId h = b.gated_ffn(b.rms_norm(x, 1, 1e-5f), 2, 2, Activation::kSilu);
    b.add(x, b.matmul(h, 3));
  }
  return b.finish(b.matmul(b.gather_outputs(x), 0));
}

TEST(Plan, ScratchDoesNotGrowWithLayers) {
  EXPECT_EQ(lay_out_scratch(chain(2), 16, 4).size_bytes, lay_out_scratch(chain(40), 16, 4).size_bytes);
}

TEST(Plan, LiveValuesNeverOverlap) {
  Plan p = chain(3);
  const int rows = 5, outputs = 3;
  ScratchLayout l = lay_out_scratch(p, rows, outputs);
  const int n = static_cast<int>(p.values.size());
  std::vector<int> first(n, -1), last(n, -1);
  for (int i = 0; i < static_cast<int>(p.ops.size()); ++i)
    for_each_value(p.ops[i], [&](ValueId v, bool) {
      if (first[v] < 0) first[v] = i;
      last[v] = i;
    });
  auto end = [&](int v) {
    int r = p.values[v].extent == Extent::kRows ? rows : outputs;
    return l.offsets[v] + uint64_t(r) * row_stride(p.values[v].width) * 4;
  };
  for (int a = 0; a < n; ++a) {
    if (a == p.output) continue;
    EXPECT_EQ(l.offsets[a] % 64, 0u);
    EXPECT_LE(end(a), l.size_bytes);
    for (int b = a + 1; b < n; ++b)
      if (b != p.output && first[a] <= last[b] && first[b] <= last[a])
        EXPECT_TRUE(end(a) <= l.offsets[b] || end(b) <= l.offsets[a]) << a << " and " << b;
  }
}

// What the host writes in a pause stands from there on, what it reads there until then.
TEST(Plan, ExchangedValuesShareNoBytesWithOthers) {
  Plan p = chain(3);
  const ValueId early = 1, late = static_cast<ValueId>(p.values.size()) - 3;  // short lives, otherwise
  const auto end = static_cast<int>(p.values.size());
  const auto shared = [&](ValueId v, int from, int to) {
    const ScratchLayout l = lay_out_scratch(p, 5, 3);
    for (int i = from; i < to; ++i)
      if (i != p.output && l.offsets[i] == l.offsets[v]) return true;
    return false;
  };
  EXPECT_TRUE(shared(early, early + 1, end));
  EXPECT_TRUE(shared(late, 0, late));
  p.ops.insert(p.ops.begin(), Exchange{{}, {late}});
  p.ops.push_back(Exchange{{early}, {}});
  EXPECT_FALSE(shared(early, early + 1, end));
  EXPECT_FALSE(shared(late, 0, late));
}

TEST(Plan, ValuesThatLieElsewhereTakeNoPlace) {
  const Plan p = chain(3);
  std::vector<bool> elsewhere(p.values.size(), true);
  EXPECT_EQ(lay_out_scratch(p, 5, 3, {}, elsewhere).size_bytes, 0u);
  elsewhere[0] = false;
  EXPECT_EQ(lay_out_scratch(p, 5, 3, {}, elsewhere).size_bytes,
            5u * row_stride(p.values[0].width) * sizeof(float));
}

TEST(Plan, WeightsOfAnOpMayBeRenamed) {
  Op op = Matmul{0, 1, 7, kNoWeight};
  for_each_weight(op, [](WeightId& w) { w += 10; });
  EXPECT_EQ(std::get<Matmul>(op).weight, 17);
  EXPECT_EQ(std::get<Matmul>(op).bias, kNoWeight);
}

}  // namespace
}  // namespace moraine::plan
