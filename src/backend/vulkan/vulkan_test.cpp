// What lies under the ops: where barriers go, memory for pages, which device is chosen, and what the backend
// says when it cannot. The ops: ops_test.cpp; whole models: tests/model/backends_test.cpp.
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

// Products of one value run side by side: barriers are fewer than dispatches.
TEST_F(Vulkan, IndependentDispatchesShareABarrier) {
  Case c;
  const WeightId in = c.inputs(8), w1 = c.matrix(8, 8), w2 = c.matrix(8, 8);
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
