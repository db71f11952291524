// A model on two backends, here twice the CPU: every bit is as on one, wherever a step passes from one to the
// other. With a GPU: backends_test.cpp, vulkan_engine_test.cpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "backend/cpu/backend.h"
#include "backend/split/backend.h"
#include "runner.h"

namespace moraine {
namespace {

using split::Where;
using testing::Runner;

class Split : public ::testing::TestWithParam<const char*> {
 protected:
  Split() {
    const char* build = std::getenv("MORAINE_BUILD_DIR");
    path_ = std::string(build ? build : "build") + "/test-models/" + GetParam();
    model_ = model::create_model(gguf::File::open(path_));
    plan_ = model_->forward();
    tokens_.resize(300);  // more than a page
    for (TokenId& t : tokens_) t = static_cast<TokenId>(rng_() % model_->n_vocab());
  }
  split::Placement place(int32_t layers, int32_t host_experts) const {
    return split::place(plan_, model_->weights(), model_->n_layers(), {layers, host_experts, {}});
  }
  std::vector<std::vector<float>> run(const split::Placement& placement) {
    const auto cpu = [] { return std::make_unique<cpu::CpuBackend>(cpu::CpuBackend::Options{1, "", 0}); };
    Runner both(path_, {},
                std::make_unique<split::SplitBackend>(cpu(), cpu(), plan_, model_->weights(), placement));
    return both.run(tokens_, 64);
  }
  void expect_the_same_bits(const split::Placement& placement, const std::string& what) {
    if (expected_.empty()) expected_ = Runner(path_, {}).run(tokens_, 64);
    const auto got = run(placement);
    ASSERT_EQ(got.size(), expected_.size());
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_EQ(0, std::memcmp(got[i].data(), expected_[i].data(), got[i].size() * sizeof(float)))
          << what << ", position " << i;
  }

  std::mt19937 rng_{1};
  std::string path_;
  std::unique_ptr<model::Model> model_;
  plan::Plan plan_;
  std::vector<TokenId> tokens_;
  std::vector<std::vector<float>> expected_;
};

TEST_P(Split, AtAnyLayer) {
  for (int32_t layers = 1; layers <= model_->n_layers(); ++layers)
    expect_the_same_bits(place(layers, 0), std::to_string(layers) + " layers");
}

TEST_P(Split, ExpertsOfSomeLayersOnTheHost) {
  const int32_t n = split::count_expert_layers(plan_, model_->weights());
  for (int32_t experts = 1; experts <= n; ++experts)
    expect_the_same_bits(place(model_->n_layers() + 1, experts),
                         std::to_string(experts) + " layers' experts");
  if (n > 1) expect_the_same_bits(place(model_->n_layers() - 1, n), "all experts, and a layer");
}

// Steps that pass to and fro at the oddest places.
TEST_P(Split, EachOpWhereChanceHasIt) {
  for (int round = 0; round < 4; ++round) {
    split::Placement placement;
    for (size_t i = 0; i < plan_.ops.size(); ++i)
      placement.ops.push_back(rng_() % 3 == 0 ? Where::kHost : Where::kDevice);
    expect_the_same_bits(placement, "round " + std::to_string(round));
  }
}

INSTANTIATE_TEST_SUITE_P(TinyModels, Split,
                         ::testing::Values("tiny-llama-q4_k_m.gguf", "tiny-gemma3-q4_k_m.gguf",
                                           "tiny-qwen3next-q4_k_m.gguf", "tiny-qwen3moe-q8_0.gguf"));

}  // namespace
}  // namespace moraine
