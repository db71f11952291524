// Whole tiny models on Vulkan, and on Vulkan and the CPU together: the CPU's logits from the same plan, and
// the numerics contract on that device too: a row's bytes depend on its own tokens and position alone.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>

#include "backend/split/backend.h"
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
  int n_tokens = 40;
  double bound = 1e-10;    // of the logits' NMSE
  int host_experts = 0;    // layers whose experts run on the CPU
  bool scattered = false;  // each op runs where chance has it
  bool unmapped = false;   // the host does not see the device's memory
};

class OnVulkan : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto device = vulkan::test_device();
    if (!device) GTEST_SKIP() << vulkan::kNoDevice;
    device_ = *device;
    const char* build = std::getenv("MORAINE_BUILD_DIR");
    path_ = std::string(build ? build : "build") + "/test-models/" + GetParam().file;
    options_.kv_k = options_.kv_v = GetParam().kv;
  }
  Runner on_vulkan() {
    vulkan::VulkanBackend::Options o;
    o.device = device_;
    o.unmapped_memory = GetParam().unmapped;
    auto gpu = std::make_unique<vulkan::VulkanBackend>(o);
    if (GetParam().host_experts == 0 && !GetParam().scattered) return Runner(path_, options_, std::move(gpu));
    const auto model = model::create_model(gguf::File::open(path_));
    const plan::Plan plan = model->forward();
    split::Placement placement = split::place(plan, model->weights(), model->n_layers(),
                                              {model->n_layers() + 1, GetParam().host_experts, {}});
    std::mt19937 rng(7);
    if (GetParam().scattered)
      for (auto& where : placement.ops) where = rng() % 3 == 0 ? split::Where::kHost : split::Where::kDevice;
    return Runner(path_, options_,
                  std::make_unique<split::SplitBackend>(
                      std::make_unique<cpu::CpuBackend>(cpu::CpuBackend::Options{2, ""}), std::move(gpu),
                      plan, model->weights(), placement));
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

// Of matrices as they lie, each once, that a token's row needs: what no way to run the plan can do without.
uint64_t weight_bytes_of_a_row(const plan::Plan& plan, const std::vector<plan::Weight>& weights) {
  const auto bytes = [&](plan::WeightId w) {
    return dtype_bytes(weights[w].dtype, weights[w].cols) * ((weights[w].rows + 7) / 8 * 8);
  };
  uint64_t sum = 0;
  for (const plan::Op& op : plan.ops) {
    if (const auto* embed = std::get_if<plan::Embed>(&op))
      sum += dtype_bytes(weights[embed->table].dtype, weights[embed->table].cols);
    if (const auto* matmul = std::get_if<plan::Matmul>(&op)) sum += bytes(matmul->weight);
    if (const auto* ffn = std::get_if<plan::GatedFfn>(&op)) sum += bytes(ffn->gate) + bytes(ffn->up);
    if (const auto* moe = std::get_if<plan::Moe>(&op))
      sum += (bytes(moe->gate) + bytes(moe->up) + bytes(moe->down)) / moe->n_experts * moe->top_k;
  }
  return sum;
}

TEST_P(OnVulkan, GivesTheCpusLogits) {
  Runner cpu(path_, options_), gpu = on_vulkan();
  const auto prompt = tokens(GetParam().n_tokens, cpu.model().n_vocab(), 1);
  const size_t n_prefill = prompt.size() - 12;  // then as verification rows come
  Logits expected, got;
  for (auto [runner, logits] : {std::pair{&cpu, &expected}, {&gpu, &got}}) {
    *logits = runner->run({prompt.begin(), prompt.begin() + n_prefill}, 100);
    for (auto& l : runner->run({prompt.begin() + n_prefill, prompt.end()}, 5))
      logits->push_back(std::move(l));
  }
  double worst = 0, error = 0, power = 0;
  for (size_t i = 0; i < prompt.size(); ++i)
    for (size_t j = 0; j < got[i].size(); ++j) {
      ASSERT_FALSE(std::isnan(got[i][j]));
      const double difference = double(got[i][j]) - expected[i][j];
      worst = std::max(worst, std::fabs(difference));
      error += difference * difference;
      power += double(expected[i][j]) * expected[i][j];
    }
  EXPECT_LT(error / power, GetParam().bound);
  const auto* exe = dynamic_cast<vulkan::VulkanExecutable*>(&gpu.executable());
  if (!exe) return;
  // What a step costs the thread that submits it; software Vulkan computes on threads of its own.
  const auto thread_us = [] {
    timespec t = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
  };
  constexpr int kSteps = 10;
  const double start = thread_us();
  for (int i = 0; i < kSteps; ++i) gpu.step({{prompt[i], 1}});
  const uint64_t bytes = exe->weight_bytes_read(1, 1),
                 wanted = weight_bytes_of_a_row(gpu.plan(), model::weights_as_loaded(gpu.model(), {}));
  std::printf(
      "[ measured ] %s: worst logit off by %.1e, NMSE %.1e; a step of one row: %d dispatches, %d barriers, "
      "%.1f KB of weights read (%.1f in the plan), %.0f us of CPU to submit\n",
      GetParam().name, worst, error / power, exe->n_dispatches(1), exe->n_barriers(1), bytes / 1e3,
      wanted / 1e3, (thread_us() - start) / kSteps);
  EXPECT_EQ(bytes, wanted);
}

// Of the contract's prompt: software Vulkan is slow. The long runs of make test-all cross a page.
int n_tokens() {
  const char* n = std::getenv("MORAINE_TEST_TOKENS");
  return n ? std::atoi(n) : 64;
}

class ContractOnVulkan : public OnVulkan {};

TEST_P(ContractOnVulkan, RowsDoNotDependOnSlicesOrCompany) {
  Runner gpu = on_vulkan();
  const int vocab = gpu.model().n_vocab();
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  const auto prompt = tokens(n_tokens(), vocab, 2), other = tokens(30, vocab, 3);
  const int n = static_cast<int>(prompt.size());
  const Logits whole = gpu.run(prompt, n), other_whole = gpu.run(other, 30, 1);
  gpu.reset();
  // Prefill, then decode one by one, then a few verification rows at a time.
  Logits sliced = gpu.run({prompt.begin(), prompt.end() - 23}, n / 3);
  for (auto& l : gpu.run({prompt.end() - 23, prompt.end() - 15}, 1)) sliced.push_back(std::move(l));
  for (auto& l : gpu.run({prompt.end() - 15, prompt.end()}, 5)) sliced.push_back(std::move(l));
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
      const size_t end = std::min(prompts[s]->size(), begin + 1 + (step * 13 + s * 7) % (n / 4));
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

// With activations of eight bits, or a cache of fewer, the last bit of a value may tip a rounding, which is
// then off by a step; experts' routers turn such steps into other experts.
constexpr double kRounded = 5e-4;
INSTANTIATE_TEST_SUITE_P(
    TinyModels, OnVulkan,
    ::testing::Values(
        // 310 positions cross a page and Gemma's window.
        Case{"gemma3_f32", "tiny-gemma3-f32.gguf", KvType::kF32, 310},
        Case{"llama_f32", "tiny-llama-f32.gguf", KvType::kF32},
        Case{"llama_f32_kv_f16", "tiny-llama-f32.gguf", KvType::kF16, 40, kRounded},
        Case{"llama_q4_k_m", "tiny-llama-q4_k_m.gguf", KvType::kF16, 40, kRounded},
        Case{"gemma3_q4_k_m", "tiny-gemma3-q4_k_m.gguf", KvType::kQ8_0, 40, kRounded},
        Case{"mistral3_f32", "tiny-mistral3-f32.gguf", KvType::kF32},
        Case{"qwen2_f32", "tiny-qwen2-f32.gguf", KvType::kF32},
        Case{"qwen2_q8_0", "tiny-qwen2-q8_0.gguf", KvType::kF16, 40, kRounded},
        Case{"qwen3_f32", "tiny-qwen3-f32.gguf", KvType::kF32},
        Case{"qwen3_q4_k_m", "tiny-qwen3-q4_k_m.gguf", KvType::kF16, 40, kRounded},
        Case{"qwen3moe_f32", "tiny-qwen3moe-f32.gguf", KvType::kF32},
        Case{"qwen3moe_q4_k_m", "tiny-qwen3moe-q4_k_m.gguf", KvType::kF16, 40, kRounded},
        Case{"qwen3next_f32", "tiny-qwen3next-f32.gguf", KvType::kF32},
        Case{"qwen3next_q4_k_m", "tiny-qwen3next-q4_k_m.gguf", KvType::kF16, 40, kRounded},
        Case{"qwen35_f32", "tiny-qwen35-f32.gguf", KvType::kF32},
        Case{"qwen35_q8_0", "tiny-qwen35-q8_0.gguf", KvType::kF16, 40, kRounded},
        Case{"qwen35moe_f32", "tiny-qwen35moe-f32.gguf", KvType::kF32},
        Case{"qwen35moe_q4_k_m", "tiny-qwen35moe-q4_k_m.gguf", KvType::kF16, 40, kRounded}),
    name_of);
INSTANTIATE_TEST_SUITE_P(
    WithTheCpu, OnVulkan,
    ::testing::Values(
        Case{"qwen3moe_f32_experts", "tiny-qwen3moe-f32.gguf", KvType::kF32, 40, 1e-10, 1},
        Case{"qwen3next_f32_experts", "tiny-qwen3next-f32.gguf", KvType::kF32, 40, 1e-10, 99},
        Case{"qwen3next_f32_experts_unmapped", "tiny-qwen3next-f32.gguf", KvType::kF32, 40, 1e-10, 99, false,
             true},
        Case{"qwen3next_q4_k_m_experts", "tiny-qwen3next-q4_k_m.gguf", KvType::kF16, 40, kRounded, 99},
        Case{"qwen35moe_f32_scattered", "tiny-qwen35moe-f32.gguf", KvType::kF32, 40, 1e-10, 0, true},
        Case{"qwen3next_f32_scattered", "tiny-qwen3next-f32.gguf", KvType::kF32, 40, 1e-10, 0, true, true},
        Case{"gemma3_f32_scattered", "tiny-gemma3-f32.gguf", KvType::kF32, 40, 1e-10, 0, true}),
    name_of);
INSTANTIATE_TEST_SUITE_P(
    TinyModels, ContractOnVulkan,
    ::testing::Values(Case{"gemma3_q4_k_m", "tiny-gemma3-q4_k_m.gguf", KvType::kF16},
                      Case{"qwen3next_q4_k_m", "tiny-qwen3next-q4_k_m.gguf", KvType::kQ8_0},
                      Case{"qwen3next_q4_k_m_experts", "tiny-qwen3next-q4_k_m.gguf", KvType::kF16, 0, 0, 99}),
    name_of);

}  // namespace
}  // namespace moraine
