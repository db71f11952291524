// Whole tiny models on Vulkan: the CPU's logits from the same plan, and the numerics contract on that
// device too: a row's bytes depend on its own tokens and position alone.
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>

#include "backend/vulkan/backend.h"
#include "backend/vulkan/executable.h"
#include "backend/vulkan/testing.h"
#include "runner.h"

namespace moraine {
namespace {

using testing::Row;
using testing::Runner;
using Logits = std::vector<std::vector<float>>;

struct Case {
  const char* name;
  const char* file;
  KvType kv;
};

class OnVulkan : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto device = vulkan::test_device();
    if (!device) GTEST_SKIP() << vulkan::kNoDevice;
    device_ = *device;
    const char* build = std::getenv("MORAINE_BUILD_DIR");
    path_ = std::string(build ? build : "build") + "/test-models/" + GetParam().file;
    options_.as_f32 = true;  // Vulkan unpacks quantised weights: so does the CPU here
    options_.kv_k = options_.kv_v = GetParam().kv;
  }
  Runner on_vulkan() {
    vulkan::VulkanBackend::Options o;
    o.device = device_;
    return Runner(path_, options_, std::make_unique<vulkan::VulkanBackend>(o));
  }
  std::vector<TokenId> tokens(int n, int vocab, int seed) const {
    std::mt19937 rng(seed);
    std::vector<TokenId> t(n);
    for (TokenId& x : t) x = static_cast<TokenId>(rng() % vocab);
    return t;
  }

  Runner::Options options_;
  std::string device_, path_;
};

// 310 positions cross a page and Gemma's window.
TEST_P(OnVulkan, GivesTheCpusLogits) {
  Runner cpu(path_, options_), gpu = on_vulkan();
  const auto prompt = tokens(310, cpu.model().n_vocab(), 1);
  const Logits expected = cpu.run(prompt, 100), got = gpu.run(prompt, 100);
  double worst = 0;
  for (size_t i = 0; i < prompt.size(); ++i)
    for (size_t j = 0; j < got[i].size(); ++j) {
      ASSERT_FALSE(std::isnan(got[i][j]));
      worst = std::max(worst, std::fabs(double(got[i][j]) - expected[i][j]));
    }
  const auto& exe = dynamic_cast<vulkan::VulkanExecutable&>(gpu.executable());
  const std::clock_t cpu_start = std::clock();  // of all threads: software Vulkan's work is this process's
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 5; ++i) gpu.step({{prompt[i], 1}});
  const double us =
      std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / 5;
  const double cpu_us = (std::clock() - cpu_start) * 1e6 / CLOCKS_PER_SEC / 5;
  std::printf(
      "[ measured ] %s: worst %.1e; %d dispatches, %d barriers; a step of one row %.0f us (%.0f us of CPU)\n",
      GetParam().name, worst, exe.n_dispatches(1), exe.n_barriers(1), us, cpu_us);
  // The last bit of a key may round to another float16 on the other side, 5e-4 of it.
  EXPECT_LT(worst, GetParam().kv == KvType::kF32 ? 1e-3 : 1e-2);
}

class ContractOnVulkan : public OnVulkan {};

TEST_P(ContractOnVulkan, RowsDoNotDependOnSlicesOrCompany) {
  Runner gpu = on_vulkan();
  const int vocab = gpu.model().n_vocab();
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  const auto prompt = tokens(275, vocab, 2), other = tokens(60, vocab, 3);
  const Logits whole = gpu.run(prompt, 275), other_whole = gpu.run(other, 60, 1);
  gpu.reset();
  // Prefill, then decode one by one, then a few verification rows at a time.
  Logits sliced = gpu.run({prompt.begin(), prompt.begin() + 230}, 90);
  for (auto& l : gpu.run({prompt.begin() + 230, prompt.begin() + 260}, 1)) sliced.push_back(std::move(l));
  for (auto& l : gpu.run({prompt.begin() + 260, prompt.end()}, 9)) sliced.push_back(std::move(l));
  for (size_t i = 0; i < prompt.size(); ++i)
    ASSERT_TRUE(same(whole[i], sliced[i])) << "position " << i << ", sliced";

  gpu.reset();
  Logits together[2];
  const std::vector<TokenId>* prompts[2] = {&prompt, &other};
  for (int step = 0; together[0].size() < prompt.size() || together[1].size() < other.size(); ++step) {
    std::vector<Row> rows;
    std::vector<int> owner;
    for (int s = 0; s < 2; ++s) {
      const size_t begin = together[s].size();
      const size_t end = std::min(prompts[s]->size(), begin + 1 + (step * 13 + s * 7) % 61);
      for (size_t at = begin; at < end; ++at) rows.push_back({(*prompts[s])[at], s}), owner.push_back(s);
    }
    Logits l = gpu.step(rows);
    for (size_t i = 0; i < l.size(); ++i) together[owner[i]].push_back(std::move(l[i]));
  }
  for (size_t i = 0; i < prompt.size(); ++i)
    ASSERT_TRUE(same(whole[i], together[0][i])) << "position " << i << ", in company";
  for (size_t i = 0; i < other.size(); ++i)
    ASSERT_TRUE(same(other_whole[i], together[1][i])) << "position " << i << " of the other";
}

const auto name_of = [](const auto& info) { return std::string(info.param.name); };

INSTANTIATE_TEST_SUITE_P(TinyModels, OnVulkan,
                         ::testing::Values(Case{"llama_f32", "tiny-llama-f32.gguf", KvType::kF32},
                                           Case{"llama_q4_k_m_kv_f16", "tiny-llama-q4_k_m.gguf",
                                                KvType::kF16},
                                           Case{"gemma3_f32", "tiny-gemma3-f32.gguf", KvType::kF32}),
                         name_of);
// One model, as software Vulkan is slow: windows, full attention, a page crossed.
INSTANTIATE_TEST_SUITE_P(TinyModels, ContractOnVulkan,
                         ::testing::Values(Case{"gemma3_kv_f16", "tiny-gemma3-f32.gguf", KvType::kF16}),
                         name_of);

}  // namespace
}  // namespace moraine
