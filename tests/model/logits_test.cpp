// Logits against the published implementation (tests/oracle): the float path to 1e-3, the quantised
// path by top-1 agreement and KL divergence. Bounds and what was measured: docs/numerics.md.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "golden.h"
#include "runner.h"

namespace moraine {
namespace {

using testing::Golden;
using testing::Runner;

std::string source_dir() {
  const char* d = std::getenv("MORAINE_SOURCE_DIR");
  return d ? d : ".";
}

// models/ holds real files, the build folder those that tools/make_models.py made (tests/CMakeLists.txt).
std::string model_path(const Golden& g) {
  const std::string real = source_dir() + "/models/" + g.model;
  if (std::filesystem::exists(real)) return real;
  const char* build = std::getenv("MORAINE_BUILD_DIR");
  return std::string(build ? build : "build") + "/test-models/" + g.model;
}

struct Difference {
  double worst = 0;    // largest |logit - golden|
  double mean_kl = 0;  // over the golden's top tokens and the rest as one bucket
  int top1 = 0;
  int positions = 0;
  int top1_clear = 0, clear = 0;  // positions where the golden's first leads by more than a logit
};

Difference compare(const Golden& g, Runner& runner) {
  const std::vector<TokenId> tokens(g.tokens.begin(), g.tokens.end());
  const auto logits = runner.run(tokens, 512);
  Difference d;
  for (const Golden::Position& p : g.positions) {
    const std::vector<float>& x = logits[p.at];
    for (const auto* list : {&p.top, &p.sampled})
      for (const auto& [id, logit] : *list) d.worst = std::max(d.worst, std::fabs(double(x[id]) - logit));
    const bool same = std::max_element(x.begin(), x.end()) - x.begin() == p.top[0].first;
    d.top1 += same;
    if (p.top[0].second - p.top[1].second > 1.0f) d.clear++, d.top1_clear += same;
    double lse = 0;
    for (float f : x) lse += std::exp(double(f) - p.top[0].second);
    lse = std::log(lse) + p.top[0].second;
    double kl = 0, rest_p = 1, rest_q = 1;
    for (const auto& [id, logit] : p.top) {
      const double lp = logit - p.logsumexp, lq = x[id] - lse;
      kl += std::exp(lp) * (lp - lq);
      rest_p -= std::exp(lp), rest_q -= std::exp(lq);
    }
    if (rest_p > 1e-9 && rest_q > 1e-9) kl += rest_p * std::log(rest_p / rest_q);
    d.mean_kl += kl;
    ++d.positions;
  }
  d.mean_kl /= d.positions;
  return d;
}

Golden golden(const std::string& name) {
  return Golden(source_dir() + "/tests/oracle/golden/" + name + ".golden");
}

class FloatPath : public ::testing::TestWithParam<const char*> {};

TEST_P(FloatPath, EqualsThePublishedImplementation) {
  const Golden g = golden(GetParam());
  ASSERT_TRUE(std::filesystem::exists(model_path(g))) << model_path(g) << " is missing: " << g.origin;
  Runner::Options o;
  o.as_f32 = true;
  o.kv_k = o.kv_v = KvType::kF32;
  Runner runner(model_path(g), o);
  const Difference d = compare(g, runner);
  RecordProperty("worst", std::to_string(d.worst));
  std::printf("[ measured ] %s float path: worst %.2e, top-1 %d/%d\n", GetParam(), d.worst, d.top1,
              d.positions);
  EXPECT_LT(d.worst, 1e-3);
  EXPECT_EQ(d.top1, d.positions);
}

INSTANTIATE_TEST_SUITE_P(
    Oracle, FloatPath,
    ::testing::Values("tiny-llama-f32", "tiny-llama-f32-h8-kv8-d32", "tiny-llama-f32-h2-kv1-d128",
                      "tiny-llama-f32-h8-kv2-d64", "tiny-llama-q4_k_m", "tiny-llama-q8_0", "tiny-gemma3-f32",
                      "tiny-gemma3-q4_k_m", "tiny-gemma3-q8_0", "tiny-llama-f32-yarn", "tiny-mistral3-f32",
                      "tiny-qwen2-f32", "tiny-qwen2-f32-h8-kv1-d32-untied", "tiny-qwen2-f32-yarn",
                      "tiny-qwen2-q4_k_m", "tiny-qwen2-q8_0", "tiny-qwen3-f32", "tiny-qwen3-f32-h4-kv4-d32",
                      "tiny-qwen3-f32-h4-kv1-d128-untied", "tiny-qwen3-f32-yarn", "tiny-qwen3-q4_k_m",
                      "tiny-qwen3-q8_0", "tiny-qwen3moe-f32", "tiny-qwen3moe-f32-e6-k5",
                      "tiny-qwen3moe-q4_k_m", "tiny-qwen3moe-q8_0", "tiny-qwen3next-f32",
                      "tiny-qwen3next-f32-k1-v4", "tiny-qwen3next-f32-k4-v4", "tiny-qwen3next-f32-ssm-in",
                      "tiny-qwen3next-f32-kv-by-layer", "tiny-qwen3next-q4_k_m", "tiny-qwen3next-q8_0",
                      "tiny-qwen35-f32", "tiny-qwen35-f32-k2-v2-mtp", "tiny-qwen35-f32-k2-v6",
                      "tiny-qwen35-q4_k_m", "tiny-qwen35-q8_0", "tiny-qwen35moe-f32",
                      "tiny-qwen35moe-f32-k1-v4", "tiny-qwen35moe-q4_k_m", "tiny-qwen35moe-q8_0",
                      "smollm2-135m", "gemma3-270m"));

struct QuantCase {
  const char* name;
  double kl;    // about twice what was measured
  double top1;  // share of positions with a clear first
};
class QuantisedPath : public ::testing::TestWithParam<QuantCase> {};

TEST_P(QuantisedPath, StaysCloseToFloat) {
  const Golden g = golden(GetParam().name);
  ASSERT_TRUE(std::filesystem::exists(model_path(g))) << model_path(g) << " is missing: " << g.origin;
  const auto name_of = [](KvType t) {
    return t == KvType::kF16 ? "f16" : t == KvType::kQ8_0 ? "q8_0" : "q4_0";
  };
  for (KvType kv : {KvType::kF16, KvType::kQ8_0, KvType::kQ4_0}) {
    Runner::Options o;
    o.kv_k = o.kv_v = kv;
    Runner runner(model_path(g), o);
    const Difference d = compare(g, runner);
    std::printf("[ measured ] %s quantised path, %s cache: worst %.3f, KL %.5f, top-1 %d/%d, clear %d/%d\n",
                GetParam().name, name_of(kv), d.worst, d.mean_kl, d.top1, d.positions, d.top1_clear, d.clear);
    if (kv == KvType::kQ4_0) {  // four bits cost small models much: docs/numerics.md; no more than that
      EXPECT_LT(d.mean_kl, 0.7);
      continue;
    }
    EXPECT_LT(d.mean_kl, GetParam().kl);
    EXPECT_GE(d.top1_clear, GetParam().top1 * d.clear);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Oracle, QuantisedPath,
    ::testing::Values(
        QuantCase{"smollm2-135m", 0.008, 1.0}, QuantCase{"gemma3-270m", 0.012, 0.95},
        QuantCase{"tiny-llama-q4_k_m", 0.015, 0.95}, QuantCase{"tiny-llama-q8_0", 0.006, 0.95},
        QuantCase{"tiny-gemma3-q4_k_m", 0.02, 0.95}, QuantCase{"tiny-gemma3-q8_0", 0.01, 0.95},
        QuantCase{"tiny-qwen2-q4_k_m", 0.01, 0.95}, QuantCase{"tiny-qwen2-q8_0", 0.004, 0.95},
        QuantCase{"tiny-qwen3-q4_k_m", 0.02, 0.95}, QuantCase{"tiny-qwen3-q8_0", 0.008, 0.95},
        QuantCase{"tiny-qwen3moe-q4_k_m", 0.026, 0.95}, QuantCase{"tiny-qwen3moe-q8_0", 0.033, 0.95},
        QuantCase{"tiny-qwen3next-q4_k_m", 0.026, 0.95}, QuantCase{"tiny-qwen3next-q8_0", 0.012, 0.95},
        QuantCase{"tiny-qwen35-q4_k_m", 0.005, 0.95}, QuantCase{"tiny-qwen35-q8_0", 0.0013, 0.95},
        QuantCase{"tiny-qwen35moe-q4_k_m", 0.018, 0.95}, QuantCase{"tiny-qwen35moe-q8_0", 0.015, 0.95}),
    [](const auto& info) {
      std::string s = info.param.name;
      std::replace(s.begin(), s.end(), '-', '_');
      return s;
    });

}  // namespace
}  // namespace moraine
