// A model cut at a layer and run on two backends, here twice the CPU: every bit is as on one, wherever the
// cut lies. With a GPU: vulkan_engine_test.cpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>

#include "backend/cpu/backend.h"
#include "backend/split/backend.h"
#include "runner.h"

namespace moraine {
namespace {

using testing::Runner;

class Split : public ::testing::TestWithParam<const char*> {};

TEST_P(Split, WhereverTheCutLiesTheBitsAreTheSame) {
  const char* build = std::getenv("MORAINE_BUILD_DIR");
  const std::string path = std::string(build ? build : "build") + "/test-models/" + GetParam();
  const auto model = model::create_model(gguf::File::open(path));
  const plan::Plan plan = model->forward();
  const int32_t n = model->n_layers();
  std::mt19937 rng(1);
  std::vector<TokenId> tokens(300);  // more than a page
  for (TokenId& t : tokens) t = static_cast<TokenId>(rng() % model->n_vocab());
  const Runner::Options options;
  Runner whole(path, options);
  const auto expected = whole.run(tokens, 64);
  size_t last_cut = 0;
  for (int32_t layer = 0; layer <= n; ++layer) {
    const size_t cut = split::first_op_of(plan, model->weights(), n, layer);
    ASSERT_GT(cut, last_cut) << "layer " << layer;
    ASSERT_LT(cut, plan.ops.size());
    last_cut = cut;
    const auto cpu = [] { return std::make_unique<cpu::CpuBackend>(cpu::CpuBackend::Options{1, "", 0}); };
    Runner halves(path, options, std::make_unique<split::SplitBackend>(cpu(), cpu(), plan, cut));
    const auto got = halves.run(tokens, 64);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_EQ(0, std::memcmp(got[i].data(), expected[i].data(), got[i].size() * sizeof(float)))
          << "layer " << layer << ", position " << i;
  }
}

TEST_P(Split, WhatALayerTakesAddsUp) {
  const char* build = std::getenv("MORAINE_BUILD_DIR");
  const auto file = gguf::File::open(std::string(build ? build : "build") + "/test-models/" + GetParam());
  const auto model = model::create_model(file);
  const plan::Plan plan = model->forward();
  const auto bytes = [&](size_t first, int64_t n_tokens) {
    return split::bytes_from(plan, model->weights(), first, model->kv_shape(), KvType::kF16, KvType::kF16,
                             n_tokens);
  };
  EXPECT_EQ(bytes(plan.ops.size(), 1000), 0u);
  uint64_t last = bytes(0, 1000);
  EXPECT_LE(bytes(0, 0), file.tensor_bytes());
  for (int32_t layer = 1; layer <= model->n_layers(); ++layer) {
    const uint64_t now = bytes(split::first_op_of(plan, model->weights(), model->n_layers(), layer), 1000);
    EXPECT_LT(now, last) << layer;
    last = now;
  }
  EXPECT_GT(last, 0u);  // the product with the vocabulary
}

INSTANTIATE_TEST_SUITE_P(TinyModels, Split,
                         ::testing::Values("tiny-llama-q4_k_m.gguf", "tiny-gemma3-q4_k_m.gguf",
                                           "tiny-qwen3next-q4_k_m.gguf", "tiny-qwen3moe-q8_0.gguf"));

}  // namespace
}  // namespace moraine
