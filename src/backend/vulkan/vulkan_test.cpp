// Every op of the vocabulary on Vulkan against the CPU backend's scalar kernels, at odd sizes and
// several numbers of rows, through plans of a few ops; and what the backend says when it cannot.
// Whole models: tests/model/backends_test.cpp.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>

#include "backend/cpu/backend.h"
#include "backend/vulkan/backend.h"
#include "backend/vulkan/executable.h"
#include "backend/vulkan/testing.h"

namespace moraine::vulkan {
namespace {

using plan::Builder;
using plan::ValueId;
using plan::WeightId;

constexpr int32_t kVocab = 71;

// Weights, a plan over them, and steps to run it with.
class Case {
 public:
  WeightId matrix(int32_t cols, int32_t rows, float size = 1.0f) {
    return add(plan::WeightRole::kMatrix, cols, rows, size);
  }
  WeightId vector(int32_t n, float size = 1.0f) { return add(plan::WeightRole::kVector, n, 1, size); }
  // A table whose rows are the inputs of a plan: token t gives its row t.
  WeightId inputs(int32_t width, float size = 1.0f) { return matrix(width, kVocab, size); }

  std::function<plan::Plan(Builder&)> build;
  plan::KvShape kv;
  KvType kv_k = KvType::kF32, kv_v = KvType::kF32;
  int32_t n_sequences = 1;
  std::vector<int32_t> rows = {1, 2, 7, 33};  // of each step; shared out over the sequences

  // Each step's output rows, one after another.
  std::vector<float> run(plan::Backend& backend) const {
    backend.declare_weights(weights_);
    for (size_t i = 0; i < weights_.size(); ++i)
      backend.write_weight(static_cast<WeightId>(i), 0, weights_[i].rows,
                           reinterpret_cast<const uint8_t*>(data_[i].data()));
    backend.set_kv(kv, kv_k, kv_v);
    Builder b(weights_);
    const plan::Plan p = build(b);
    const int32_t width = p.values[p.output].width, stride = plan::row_stride(width);
    const auto exe = backend.prepare(p, {64, 64, 512});
    std::mt19937 rng(5);
    std::vector<std::vector<plan::PageId>> tables(n_sequences);
    std::vector<int32_t> lengths(n_sequences, 0);
    std::vector<float> all;
    for (int32_t n : rows) {
      std::vector<TokenId> tokens;
      std::vector<int32_t> positions, sequences, outputs;
      for (int32_t r = 0; r < n; ++r) {
        const int32_t s = r * n_sequences / n;
        tokens.push_back(static_cast<TokenId>(rng() % kVocab));
        positions.push_back(lengths[s]++);
        sequences.push_back(s);
        if (r % 3 != 1) outputs.push_back(r);
        if (!kv.layers.empty() &&
            static_cast<int32_t>(tables[s].size()) <= positions.back() / plan::kPageTokens)
          tables[s].push_back(backend.allocate_page());
      }
      std::vector<std::span<const plan::PageId>> views(tables.begin(), tables.end());
      std::vector<float> out(static_cast<size_t>(n) * stride, -77.0f);
      EXPECT_EQ(exe->submit({tokens, positions, sequences, outputs, views}, out.data(), stride),
                plan::Status::kOk);
      const size_t n_out = p.values[p.output].extent == plan::Extent::kRows ? tokens.size() : outputs.size();
      for (size_t r = 0; r < n_out; ++r)
        all.insert(all.end(), out.begin() + r * stride, out.begin() + r * stride + width);
    }
    return all;
  }

 private:
  WeightId add(plan::WeightRole role, int32_t cols, int32_t rows, float size) {
    std::normal_distribution<float> normal(0.0f, size);
    std::vector<float> values(static_cast<size_t>(cols) * rows);
    for (float& v : values) v = normal(rng_);
    weights_.push_back({fmt::format("w{}", weights_.size()), DType::kF32, role, cols, rows});
    data_.push_back(std::move(values));
    return static_cast<WeightId>(weights_.size()) - 1;
  }
  std::mt19937 rng_{11};
  std::vector<plan::Weight> weights_;
  std::vector<std::vector<float>> data_;
};

double nmse(const std::vector<float>& got, const std::vector<float>& expected) {
  double error = 0, power = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (double(got[i]) - expected[i]) * (double(got[i]) - expected[i]);
    power += double(expected[i]) * expected[i];
  }
  return error / power;
}

class Ops : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto device = test_device();
    if (!device) GTEST_SKIP() << kNoDevice;
    options_.device = *device;
  }
  void compare(const Case& c, double bound = 1e-10) {
    cpu::CpuBackend cpu({1, "scalar"});
    VulkanBackend gpu(options_);
    const std::vector<float> expected = c.run(cpu), got = c.run(gpu);
    ASSERT_EQ(got.size(), expected.size());
    EXPECT_LT(nmse(got, expected), bound);  // a NaN fails too
  }
  VulkanBackend::Options options_;
};

// A plan with every op: what discrete memory, small arenas and the validation layer are tried with.
Case every_op() {
  Case c;
  const WeightId in = c.inputs(64), norm = c.vector(64), wq = c.matrix(64, 64, 0.2f),
                 wk = c.matrix(64, 32, 0.2f), wv = c.matrix(64, 32, 0.2f), gate = c.matrix(64, 96, 0.2f),
                 up = c.matrix(64, 96, 0.2f), down = c.matrix(96, 64, 0.2f);
  c.kv.layers = {{1, 32}};
  c.build = [=](Builder& b) {
    const ValueId x = b.embed(in), h = b.rms_norm(x, norm, 1e-5f);
    const ValueId q = b.matmul(h, wq), k = b.matmul(h, wk), v = b.matmul(h, wv);
    b.rope(q, 2, 32, {plan::RopeKind::kNeox, 32});
    b.rope(k, 1, 32, {plan::RopeKind::kNeox, 32});
    plan::Attention a = {};
    a.n_heads = 2, a.n_kv_heads = 1, a.head_dim = 32, a.scale = 0.2f;
    b.add(x, b.attention(q, k, v, a));
    b.add(x, b.matmul(b.gated_ffn(x, gate, up, plan::Activation::kSilu), down));
    return b.finish(b.gather_outputs(x));
  };
  return c;
}

TEST_F(Ops, MemoryTheHostCannotSeeAndSmallArenas) {
  options_.unmapped_memory = true;
  options_.arena_bytes = 20000;  // a few weights each
  compare(every_op());
}

TEST_F(Ops, TheValidationLayerIsSilent) {
  std::vector<std::string> messages;
  options_.on_validation_message = [&](const std::string& m) { messages.push_back(m); };
  try {
    compare(every_op());
    options_.unmapped_memory = true;
    compare(every_op());
  } catch (const Error& e) {
    if (std::string(e.what()).find("validation layer") == std::string::npos) throw;
    GTEST_SKIP() << e.what();
  }
  EXPECT_THAT(messages, ::testing::IsEmpty());
}

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
TEST_F(Ops, IndependentDispatchesShareABarrier) {
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
  c.rows = {1};
  c.run(gpu);
  VulkanExecutable exe(gpu, p, {4, 4, 256});
  EXPECT_EQ(exe.n_dispatches(1), 4);
  EXPECT_EQ(exe.n_barriers(1), 4);  // at the start, after embed, after the products, for the host
}

TEST_F(Ops, PagesAreReused) {
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

TEST_F(Ops, Refusals) {
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
