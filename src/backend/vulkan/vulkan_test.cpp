// What lies under the ops: which go together, where barriers go, memory for pages, which device is chosen,
// and what the backend says when it cannot. The ops: ops_test.cpp; whole models:
// tests/model/backends_test.cpp.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

#include "backend/vulkan/backend.h"
#include "backend/vulkan/executable.h"
#include "backend/vulkan/ops_testing.h"
#include "backend/vulkan/testing.h"

namespace moraine::vulkan {
namespace {

using plan::Builder;
using plan::ValueId;
using plan::WeightId;
using testing::Case;

class Vulkan : public DeviceTest {};

// Independent products share a barrier; what depends waits.
TEST(HazardTracker, BarriersOnlyWhereBytesMeet) {
  HazardTracker t;
  EXPECT_FALSE(t.add({}, {{0, 10}}));          // write a
  EXPECT_TRUE(t.add({{0, 10}}, {{10, 20}}));   // b from a
  EXPECT_FALSE(t.add({{0, 10}}, {{20, 30}}));  // c from a
  EXPECT_FALSE(t.add({{5, 10}}, {{30, 40}}));  // d from a part of a
  EXPECT_TRUE(t.add({{30, 31}}, {{50, 60}}));  // reads d
  EXPECT_TRUE(t.add({}, {{30, 35}}));          // overwrites what was just read
  EXPECT_TRUE(t.add({}, {{34, 36}}));          // writes where it was just written
  EXPECT_FALSE(t.add({}, {{36, 40}}));         // neighbours do not meet
}

// A layer's ops, and a way to change it.
struct Layer {
  enum class Change { kNone, kSumReadAgain, kKeysReadAgain, kOneRotation, kOtherEps };
  plan::Plan plan(Change change) {
    Builder b(weights);
    const ValueId x = b.embed(0), h = b.rms_norm(x, 1, 1e-5f);
    ValueId q = b.matmul(h, 0), k = b.matmul(h, 0);
    const ValueId v = b.matmul(h, 0), gate = b.matmul(h, 0);
    q = b.rms_norm(q, 1, change == Change::kOtherEps ? 1e-6f : 1e-5f, 64);
    k = b.rms_norm(k, 1, 1e-5f, 64);
    b.rope(q, 1, 64, {plan::RopeKind::kNeox, 64});
    if (change != Change::kOneRotation) b.rope(k, 1, 64, {plan::RopeKind::kNeox, 64});
    plan::Attention a = {};
    a.n_heads = a.n_kv_heads = 1, a.head_dim = 64;
    const ValueId o = b.attention(q, k, v, a);
    b.gate(o, gate, plan::GateKind::kSigmoid);
    const ValueId y = b.rms_norm(b.matmul(o, 0), 1, 1e-5f);
    b.add(x, y);
    const ValueId z = b.rms_norm(x, 1, 1e-5f);
    if (change == Change::kSumReadAgain) b.add(z, y);
    if (change == Change::kKeysReadAgain) b.add(z, k);
    return b.finish(b.matmul(z, 0));
  }
  std::vector<plan::Weight> weights = {{"matrix", DType::kQ8_0, plan::WeightRole::kMatrix, 64, 64, {}},
                                       {"vector", DType::kF32, plan::WeightRole::kVector, 64, 1, {}}};
};

// How many ops each dispatch's share has.
std::vector<size_t> shares(const plan::Plan& p) {
  std::vector<size_t> n;
  for (const Fused& f : fuse(p, true)) n.push_back(f.n);
  return n;
}

TEST(Fuse, OpsThatStandTogether) {
  using Change = Layer::Change;
  using ::testing::ElementsAre;
  Layer l;
  EXPECT_THAT(shares(l.plan(Change::kNone)), ElementsAre(1, 1, 3, 1, 5, 1, 1, 3, 1));
  // What others read must be there for them; what two have not in common is done apart.
  EXPECT_THAT(shares(l.plan(Change::kSumReadAgain)), ElementsAre(1, 1, 3, 1, 5, 1, 1, 1, 2, 1, 1));
  EXPECT_THAT(shares(l.plan(Change::kKeysReadAgain)), ElementsAre(1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1));
  EXPECT_THAT(shares(l.plan(Change::kOneRotation)), ElementsAre(1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 3, 1));
  EXPECT_THAT(shares(l.plan(Change::kOtherEps)), ElementsAre(1, 1, 3, 1, 1, 4, 1, 1, 3, 1));
  const plan::Plan p = l.plan(Change::kNone);
  EXPECT_EQ(phases_of(fuse(p, true)).size(), p.ops.size());
  EXPECT_EQ(fuse(p, false).size(), p.ops.size());
}

// A value is left as floats where somebody reads it so, or where its int8 blocks would be gone before they
// are read.
TEST(Fuse, HowAValueIsRead) {
  Layer l;
  const plan::Plan p = l.plan(Layer::Change::kNone);
  const auto h = std::get<plan::RmsNorm>(p.ops[1]).out;
  const auto read_as = [&](DType t) { return readers_of(p, h, 2, [t](WeightId) { return t; }); };
  EXPECT_FALSE(read_as(DType::kQ8_0).floats);
  EXPECT_EQ(read_as(DType::kQ8_0).quant_width, 32);
  EXPECT_TRUE(read_as(DType::kF16).floats);
  EXPECT_TRUE(readers_of(p, p.output, 0, [](WeightId) { return DType::kQ8_0; }).floats);
  Builder b(l.weights);
  const ValueId x = b.embed(0);
  ValueId y = b.matmul(x, 0);
  for (int i = 0; i < 3; ++i) y = b.matmul(y, 0);
  b.add(y, b.matmul(x, 0));
  EXPECT_TRUE(readers_of(b.finish(y), x, 1, [](WeightId) { return DType::kQ8_0; }).floats);
}

// Products of one value run side by side: barriers are fewer than dispatches.
TEST_F(Vulkan, IndependentDispatchesShareABarrier) {
  Case c;
  const WeightId in = c.inputs(8), w1 = c.matrix(8, 8), w2 = c.matrix(8, 8);
  options_.fuse = false;  // else they are one dispatch
  VulkanBackend gpu(options_);
  plan::Plan p;
  c.build = [&](Builder& b) {
    const ValueId x = b.embed(in), y = b.matmul(x, w1), z = b.matmul(x, w2);
    b.add(y, z);
    p = b.finish(y);
    return p;
  };
  c.steps = {{1}};
  c.run(gpu);
  VulkanExecutable exe(gpu, p, {4, 4, 256});
  EXPECT_EQ(exe.n_dispatches(1), 4);
  EXPECT_EQ(exe.n_barriers(1), 4);  // at the start, after embed, after the products, for the host
}

TEST_F(Vulkan, PagesAreReused) {
  VulkanBackend gpu(options_);
  gpu.set_kv({{{2, 64}}}, KvType::kF16, KvType::kF32);
  EXPECT_EQ(gpu.page_bytes(), 256u * 2 * 64 * (2 + 4));
  std::vector<plan::PageId> pages;
  for (int i = 0; i < 40; ++i) pages.push_back(gpu.allocate_page());
  std::vector<plan::PageId> sorted = pages;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end());
  gpu.free_page(pages[3]);
  EXPECT_EQ(gpu.allocate_page(), pages[3]);
}

template <class F>
std::string error_of(F&& f, ErrorCode code) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST_F(Vulkan, Refusals) {
  EXPECT_THAT(error_of([] { VulkanBackend b({.device = "Vulkan99"}); }, ErrorCode::kInvalidArgument),
              ::testing::AllOf(::testing::HasSubstr("Vulkan99"), ::testing::HasSubstr("Vulkan0")));
  VulkanBackend gpu(options_);
  EXPECT_THAT(
      error_of([&] { gpu.set_kv({{{1, 40}}}, KvType::kQ8_0, KvType::kF16); }, ErrorCode::kUnsupported),
      ::testing::HasSubstr("-ctk f16"));
  // Each of them is allowed, all together are more than there is: told before anything is taken.
  gpu.declare_weights(
      std::vector<plan::Weight>(4096, {"w", DType::kF32, plan::WeightRole::kMatrix, 1 << 14, 1 << 14}));
  EXPECT_EQ(gpu.weight_bytes(), 4096ull << 30);
  const std::vector<float> row(1 << 14);
  const auto write = [&] { gpu.write_weight(0, 0, 1, reinterpret_cast<const uint8_t*>(row.data())); };
  EXPECT_THAT(error_of(write, ErrorCode::kOutOfMemory), ::testing::HasSubstr("-ngl auto"));
}

// A software device is never chosen unless it is named or allowed.
TEST(Devices, SoftwareOnlyWhenAskedFor) {
  const auto devices = all_devices();
  const bool gpu = std::any_of(devices.begin(), devices.end(),
                               [](const auto& d) { return !d.software && d.missing.empty(); });
  if (gpu || devices.empty()) GTEST_SKIP() << "needs a machine whose only Vulkan device is a software one";
  EXPECT_THAT(error_of([] { VulkanBackend b({}); }, ErrorCode::kUnavailable), ::testing::HasSubstr("-ngl 0"));
  EXPECT_THAT(VulkanBackend({.allow_software = true}).describe(), ::testing::HasSubstr("Vulkan0"));
}

}  // namespace
}  // namespace moraine::vulkan
