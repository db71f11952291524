// The numerics contract: the bytes of a row's logits depend on its own tokens and position alone; not
// on slice sizes, batch mates, the number of threads, or the instruction set.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "runner.h"

namespace moraine {
namespace {

using testing::Row;
using testing::Runner;
using Logits = std::vector<std::vector<float>>;

std::string build_dir() {
  const char* d = std::getenv("MORAINE_BUILD_DIR");
  return d ? d : "build";
}
std::string source_dir() {
  const char* d = std::getenv("MORAINE_SOURCE_DIR");
  return d ? d : ".";
}

std::vector<TokenId> random_tokens(int n, int vocab, int seed) {
  std::mt19937 rng(seed);
  std::vector<TokenId> t(n);
  for (TokenId& x : t) x = static_cast<TokenId>(rng() % vocab);
  return t;
}

::testing::AssertionResult same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0)
    return ::testing::AssertionSuccess();
  size_t i = 0;
  while (i < a.size() && std::memcmp(&a[i], &b[i], 4) == 0) ++i;
  return ::testing::AssertionFailure() << "logit " << i << ": " << a[i] << " and " << b[i];
}

struct Case {
  const char* name;
  const char* file;
  int n_tokens;
  bool real;
  KvType kv = KvType::kF16;
};

std::string path_of(const Case& c) {
  return c.real ? source_dir() + "/models/" + c.file : build_dir() + "/test-models/" + c.file;
}

class Contract : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists(path_of(GetParam())))
        << path_of(GetParam()) << " is missing: make model model-gemma";
  }
  Runner make(int threads = 2, const std::string& isa = "") {
    Runner::Options o;
    o.threads = threads;
    o.isa = isa;
    o.kv_k = o.kv_v = GetParam().kv;
    o.max_context = 2048;
    return Runner(path_of(GetParam()), o);
  }
};

TEST_P(Contract, RowsDoNotDependOnSlices) {
  Runner r = make();
  const auto tokens = random_tokens(GetParam().n_tokens, r.model().n_vocab(), 1);
  const Logits whole = r.run(tokens, 500);
  for (int slice : {1, 2, 7, 33, 64}) {           // 33: more tiles than attention splits at a time
    if (GetParam().real && slice < 64) continue;  // the short run below covers them
    r.reset();
    const Logits sliced = r.run(tokens, slice);
    for (size_t i = 0; i < tokens.size(); ++i)
      ASSERT_TRUE(same_bytes(whole[i], sliced[i])) << "position " << i << ", slices of " << slice;
  }
  // ragged: a few rows alone in the middle
  r.reset();
  std::mt19937 rng(7);
  Logits ragged;
  for (size_t i = 0; i < tokens.size();) {
    size_t n = std::min<size_t>(tokens.size() - i, i == 0 ? tokens.size() / 2 : 1 + rng() % 9);
    std::vector<Row> rows;
    for (size_t j = 0; j < n; ++j) rows.push_back({tokens[i + j], 0});
    for (auto& l : r.step(rows)) ragged.push_back(std::move(l));
    i += n;
  }
  for (size_t i = 0; i < tokens.size(); ++i)
    ASSERT_TRUE(same_bytes(whole[i], ragged[i])) << "position " << i << ", ragged";
}

TEST_P(Contract, RowsDoNotDependOnThreads) {
  Runner two = make(2);
  const auto tokens = random_tokens(GetParam().n_tokens, two.model().n_vocab(), 2);
  const Logits expected = two.run(tokens, 500);
  for (int threads : {1, 3}) {
    Runner other = make(threads);
    const Logits got = other.run(tokens, 100);
    for (size_t i = 0; i < tokens.size(); ++i)
      ASSERT_TRUE(same_bytes(expected[i], got[i])) << "position " << i << ", " << threads << " threads";
  }
}

TEST_P(Contract, RowsDoNotDependOnCompany) {
  Runner r = make();
  const int n = std::min(GetParam().n_tokens, 300), vocab = r.model().n_vocab();
  std::vector<std::vector<TokenId>> prompts;
  for (int s = 0; s < 3; ++s) prompts.push_back(random_tokens(n - 40 * s, vocab, 10 + s));
  std::vector<Logits> alone;
  for (int s = 0; s < 3; ++s) {
    r.reset();
    alone.push_back(r.run(prompts[s], 64));
  }
  r.reset();
  std::vector<Logits> together(3);
  for (int step = 0; together[0].size() < prompts[0].size(); ++step) {
    std::vector<Row> rows;
    std::vector<int> owner;
    for (int s = 0; s < 3; ++s)
      for (int j = 0; j < 1 + (step * 5 + s * 11) % 37; ++j) {
        const size_t at = together[s].size() + std::count(owner.begin(), owner.end(), s);
        if (at < prompts[s].size()) rows.push_back({prompts[s][at], s}), owner.push_back(s);
      }
    const Logits l = r.step(rows);
    for (size_t i = 0; i < l.size(); ++i) together[owner[i]].push_back(l[i]);
  }
  for (int s = 0; s < 3; ++s)
    for (size_t i = 0; i < prompts[s].size(); ++i)
      ASSERT_TRUE(same_bytes(alone[s][i], together[s][i])) << "sequence " << s << ", position " << i;
}

TEST_P(Contract, RowsDoNotDependOnTheInstructionSet) {
  Runner best = make();
  const int n = GetParam().real ? 40 : GetParam().n_tokens;
  const auto tokens = random_tokens(n, best.model().n_vocab(), 3);
  const Logits expected = best.run(tokens, 500);
  for (const std::string& isa : cpu::available_isas()) {
    Runner other = make(2, isa);
    const Logits got = other.run(tokens, 500);
    for (size_t i = 0; i < tokens.size(); ++i)
      ASSERT_TRUE(same_bytes(expected[i], got[i])) << "position " << i << ", " << isa;
  }
}

// 700 tokens cross pages of 256, partitions of 512 and Gemma's windows; more than 64 rows go to one expert.
INSTANTIATE_TEST_SUITE_P(
    Models, Contract,
    ::testing::Values(Case{"llama_f32", "tiny-llama-f32.gguf", 700, false},
                      Case{"llama_q4_k_m", "tiny-llama-q4_k_m.gguf", 700, false},
                      Case{"llama_q8_0_kv_q8_0", "tiny-llama-q8_0.gguf", 700, false, KvType::kQ8_0},
                      Case{"llama_q8_0_kv_q4_0", "tiny-llama-q8_0.gguf", 700, false, KvType::kQ4_0},
                      Case{"qwen3_q8_0_kv_q4_0", "tiny-qwen3-q8_0.gguf", 300, false, KvType::kQ4_0},
                      Case{"qwen3next_q4_k_m_kv_q4_0", "tiny-qwen3next-q4_k_m.gguf", 300, false,
                           KvType::kQ4_0},
                      Case{"gemma3_q4_k_m", "tiny-gemma3-q4_k_m.gguf", 700, false},
                      Case{"gemma3_q8_0", "tiny-gemma3-q8_0.gguf", 300, false},
                      Case{"qwen2_q4_k_m", "tiny-qwen2-q4_k_m.gguf", 300, false},
                      Case{"qwen3_q8_0", "tiny-qwen3-q8_0.gguf", 300, false},
                      Case{"mistral3_f32", "tiny-mistral3-f32.gguf", 300, false},
                      Case{"qwen3moe_q4_k_m", "tiny-qwen3moe-q4_k_m.gguf", 700, false},
                      Case{"qwen3next_q4_k_m", "tiny-qwen3next-q4_k_m.gguf", 700, false},
                      Case{"qwen3next_q8_0", "tiny-qwen3next-q8_0.gguf", 300, false},
                      Case{"qwen3next_f32", "tiny-qwen3next-f32.gguf", 300, false},
                      Case{"qwen3next_ssm_in", "tiny-qwen3next-f32-ssm-in.gguf", 300, false},
                      Case{"qwen35_q4_k_m", "tiny-qwen35-q4_k_m.gguf", 300, false},
                      Case{"qwen35moe_q8_0", "tiny-qwen35moe-q8_0.gguf", 300, false},
                      Case{"smollm2", "smollm2-135m-instruct-q4_1.gguf", 560, true},
                      Case{"gemma3_270m", "gemma3-270m-q4_k_m.gguf", 560, true}),
    [](const auto& info) { return std::string(info.param.name); });

// A forced instruction set takes effect, and an unknown one is refused by name.
TEST(Isa, ForcedIsaTakesEffect) {
  EXPECT_NE(cpu::CpuBackend({1, "scalar"}).describe().find("scalar"), std::string::npos);
  for (const std::string& isa : cpu::available_isas()) {
    cpu::CpuBackend b({1, isa});
    EXPECT_STREQ(b.kernels().isa, isa.c_str());
    if (isa != "scalar")
      EXPECT_NE(b.kernels().matmul[2], cpu::scalar_kernels().matmul[2]) << isa << " falls back to scalar";
  }
  try {
    cpu::CpuBackend b({1, "sse9"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(e.what()).find("scalar"), std::string::npos);
  }
}

}  // namespace
}  // namespace moraine
