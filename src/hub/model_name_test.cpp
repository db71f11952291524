#include "hub/model_name.h"

#include <gtest/gtest.h>

namespace moraine::hub {
namespace {

LocalModel model(const char* name, const char* quant, const char* path, uint64_t size = 1,
                 Origin origin = Origin::kHub) {
  LocalModel m;
  m.name = name;
  m.quantization = quant;
  m.path = path;
  m.size_bytes = size;
  m.origin = origin;
  return m;
}

const std::vector<LocalModel> kModels = {
    model("smollm2-135m-instruct", "Q4_1", "models/smollm2-135m-instruct-q4_1.gguf", 1, Origin::kFolder),
    model("unsloth/Qwen3-Coder-Next-GGUF", "Q4_K_M", "/h/Qwen3-Coder-Next-Q4_K_M.gguf", 48),
    model("unsloth/Qwen3-Coder-Next-GGUF", "Q8_0", "/h/Qwen3-Coder-Next-Q8_0.gguf", 84),
    model("unsloth/Qwen3-1.7B-GGUF", "Q8_0", "/h/Qwen3-1.7B-Q8_0.gguf", 2),
    model("unsloth/Qwen3-1.7B-GGUF", "Q8_0", "/l/Qwen3-1.7B-Q8_0.gguf", 2, Origin::kLmStudio),
    model("qwen3", "8b", "/o/blobs/sha256-00", 5, Origin::kOllama),
    model("qwen3", "latest", "/o/blobs/sha256-00", 5, Origin::kOllama),
};

std::vector<std::string> found(std::string_view text) {
  std::vector<std::string> paths;
  for (const LocalModel& m : find_models(text, kModels)) paths.push_back(m.path.string());
  return paths;
}
using Paths = std::vector<std::string>;

TEST(ModelName, WholeNames) {
  EXPECT_EQ(found("unsloth/Qwen3-Coder-Next-GGUF:Q4_K_M"), Paths{"/h/Qwen3-Coder-Next-Q4_K_M.gguf"});
  EXPECT_EQ(found("UNSLOTH/qwen3-coder-next-gguf:q8_0"), Paths{"/h/Qwen3-Coder-Next-Q8_0.gguf"});
  EXPECT_EQ(found("qwen3:8b"), Paths{"/o/blobs/sha256-00"});
  EXPECT_EQ(found("Qwen3-Coder-Next-Q8_0.gguf"), Paths{"/h/Qwen3-Coder-Next-Q8_0.gguf"});
}

TEST(ModelName, Parts) {
  EXPECT_EQ(found("smollm2"), Paths{"models/smollm2-135m-instruct-q4_1.gguf"});
  EXPECT_EQ(found("coder-next:q4"), Paths{"/h/Qwen3-Coder-Next-Q4_K_M.gguf"});
  EXPECT_EQ(found("coder-next-q8_0"), Paths{"/h/Qwen3-Coder-Next-Q8_0.gguf"});
  EXPECT_EQ(found("1.7b"), Paths{"/h/Qwen3-1.7B-Q8_0.gguf"}) << "copies count once";
}

TEST(ModelName, WhatDoesNotSayWhich) {
  EXPECT_EQ(found("coder-next").size(), 2u);
  EXPECT_EQ(found("unsloth/Qwen3-Coder-Next-GGUF:Q").size(), 2u);
  EXPECT_EQ(found("gguf").size(), 3u);
}

TEST(ModelName, Nothing) {
  for (const char* text :
       {"", ":", ":Q4_K_M", "llama", "coder-next:Q5_K_M", "unsloth/Qwen3-Coder-Next-GGUF:Q4_0"})
    EXPECT_TRUE(found(text).empty()) << text;
}

TEST(ModelName, RepoNames) {
  RepoName r;
  ASSERT_TRUE(parse_repo_name("unsloth/Qwen3-1.7B-GGUF:Q8_0", r));
  EXPECT_EQ(r.id(), "unsloth/Qwen3-1.7B-GGUF");
  EXPECT_EQ(r.quantization, "Q8_0");
  ASSERT_TRUE(parse_repo_name("a/b", r));
  EXPECT_EQ(r.quantization, "");
  for (const char* no : {"", "a", "a/", "/b", "../b", "a/..", "a/b/c", "a/b:", "a b/c", "a/b?x", "a/b:..",
                         "-a/b", "a--b/c", "a/.b", "a/b\n", "a/b:c/d", "a\\b/c"})
    EXPECT_FALSE(parse_repo_name(no, r)) << no;
}

}  // namespace
}  // namespace moraine::hub
