#include "hub/quantization.h"

#include <gtest/gtest.h>

namespace moraine::hub {
namespace {

TEST(Quantization, FromFileNames) {
  const std::pair<const char*, const char*> cases[] = {
      {"Qwen3-Coder-Next-Q4_K_M.gguf", "Q4_K_M"},
      {"qwen2.5-coder-7b-instruct-q8_0.gguf", "Q8_0"},
      {"Q4_K_M/Qwen3-Coder-480B-Q4_K_M-00001-of-00006.gguf", "Q4_K_M"},
      {"Qwen3-30B-A3B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"},
      {"SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"},
      {"gpt-oss-20b-mxfp4.gguf", "MXFP4"},
      {"gpt-oss-20b-MXFP4_MOE.gguf", "MXFP4_MOE"},
      {"model-IQ2_XXS.gguf", "IQ2_XXS"},
      {"model.IQ4_NL.gguf", "IQ4_NL"},
      {"model-TQ1_0.gguf", "TQ1_0"},
      {"model-bf16-00001-of-00002.gguf", "BF16"},
      {"model-fp16.gguf", "FP16"},
      {"model-Q4_0_4_8.gguf", "Q4_0_4_8"},
      {"model-Q4_K_M_by_someone.gguf", "Q4_K_M"},
      {"QwQ-32B.gguf", ""},     // Q, but no digit
      {"model-q4x.gguf", ""},   // more letters
      {"Q8_0/model.gguf", ""},  // a folder
      {"F16-tuned-Q6_K.gguf", "Q6_K"},
      {"", ""},
  };
  for (const auto& [name, expected] : cases) EXPECT_EQ(quantization_of(name), expected) << name;
}

TEST(Quantization, ShardNames) {
  const auto shard = shard_of("x-00002-of-00003.gguf");
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->stem, "x");
  EXPECT_EQ(shard->number, 2u);
  EXPECT_EQ(shard->count, 3u);
  for (const char* no : {"x.gguf", "x-00000-of-00003.gguf", "x-00004-of-00003.gguf", "x-0002-of-00003.gguf",
                         "-00001-of-00001.gguf", "x-00002-of-00003.bin", "x-0000a-of-00003.gguf"})
    EXPECT_FALSE(shard_of(no)) << no;
}

TEST(Quantization, WhatIsAModel) {
  EXPECT_TRUE(is_model_file("x-Q4_K_M.gguf"));
  EXPECT_TRUE(is_model_file("X.GGUF"));
  for (const char* no : {"mmproj-F16.gguf", "x-mmproj-f16.gguf", "imatrix_unsloth.gguf", "x.imatrix.gguf",
                         "README.md", ".gguf", "x.gguf.part"})
    EXPECT_FALSE(is_model_file(no)) << no;
}

TEST(Quantization, BaseNames) {
  EXPECT_EQ(base_name_of("a/b/qwen3-8b-Q4_K_M.gguf"), "qwen3-8b");
  EXPECT_EQ(base_name_of("qwen3-8b.Q4_K_M-00001-of-00002.gguf"), "qwen3-8b");
  EXPECT_EQ(base_name_of("tiny.gguf"), "tiny");
  EXPECT_EQ(base_name_of("Q4_0.gguf"), "Q4_0");  // nothing else to call it by
}

}  // namespace
}  // namespace moraine::hub
