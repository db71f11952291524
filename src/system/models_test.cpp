#include "system/models.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moraine::system {
namespace {

std::vector<std::string> found(const char* text) {
  std::vector<std::string> names;
  for (const KnownModel* m : find_known_models(text)) names.push_back(full_name(*m));
  return names;
}

TEST(KnownModels, AreFoundByName) {
  using testing::ElementsAre;
  EXPECT_THAT(found("qwen3-coder-next"), ElementsAre("Qwen3-Coder-Next Q4_K_M"));
  EXPECT_THAT(found("Qwen3-Coder-Next:Q8_0"), ElementsAre("Qwen3-Coder-Next Q8_0"));
  EXPECT_THAT(found("/models/Qwen3-Coder-Next-Q4_K_M.gguf"), ElementsAre("Qwen3-Coder-Next Q4_K_M"));
  EXPECT_THAT(found("Qwen3-1.7B-Q8_0.gguf"), ElementsAre("Qwen3-1.7B Q8_0"));
  EXPECT_THAT(found("coder-30b"), ElementsAre("Qwen3-Coder-30B-A3B-Instruct Q4_K_M"));
  EXPECT_EQ(found("qwen3").size(), 3u);  // ambiguous
  EXPECT_TRUE(found("nonesuch").empty());
  EXPECT_TRUE(found("").empty());
  EXPECT_TRUE(found("../").empty());
}

TEST(KnownModels, ContextIsWhatTheMemoryHolds) {
  const KnownModel& m = *find_known_models("Llama-3.2-3B-Instruct").at(0);
  EXPECT_EQ(longest_context(m, 0), 0);
  EXPECT_EQ(longest_context(m, m.weights), 0);
  EXPECT_EQ(longest_context(m, UINT64_MAX), m.n_ctx_train);
  for (const uint64_t bytes : {uint64_t{4} << 30, uint64_t{8} << 30}) {
    const int32_t n = longest_context(m, bytes);
    EXPECT_GT(n, 0);
    EXPECT_LE(memory_of(m, n), bytes);
    EXPECT_GT(memory_of(m, n + 1000), bytes);
  }
}

// Reported of other engines on 256 GB/s: 38 to 43 tokens a second.
TEST(KnownModels, ExpectedSpeedIsNearWhatWasReported) {
  const double speed = expected_speed(*find_known_models("Qwen3-Coder-Next").at(0), 256e9);
  EXPECT_GT(speed, 35);
  EXPECT_LT(speed, 45);
}

}  // namespace
}  // namespace moraine::system
