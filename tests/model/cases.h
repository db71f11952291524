// Test support: the tiny models that tests of whole engines run, one of each architecture.
#pragma once

#include <moraine/engine.h>

#include <cstdlib>
#include <string>

namespace moraine::testing {

struct Case {
  const char* name;
  const char* file;
  KvType kv = KvType::kF16;
};

inline std::string path_of(const Case& c) {
  const char* d = std::getenv("MORAINE_BUILD_DIR");
  return std::string(d ? d : "build") + "/test-models/" + c.file;
}

inline constexpr Case kCases[] = {{"llama", "tiny-llama-q4_k_m.gguf"},
                                  {"llama_q8_0_kv", "tiny-llama-q8_0.gguf", KvType::kQ8_0},
                                  {"llama_q4_0_kv", "tiny-llama-q8_0.gguf", KvType::kQ4_0},
                                  {"qwen3next_q4_0_kv", "tiny-qwen3next-q4_k_m.gguf", KvType::kQ4_0},
                                  {"gemma3", "tiny-gemma3-q4_k_m.gguf"},
                                  {"qwen2", "tiny-qwen2-q4_k_m.gguf"},
                                  {"qwen3", "tiny-qwen3-q8_0.gguf"},
                                  {"mistral3", "tiny-mistral3-f32.gguf"},
                                  {"qwen3moe", "tiny-qwen3moe-q4_k_m.gguf"},
                                  {"qwen3next", "tiny-qwen3next-q4_k_m.gguf"},
                                  {"qwen35", "tiny-qwen35-q4_k_m.gguf"},
                                  {"qwen35moe", "tiny-qwen35moe-q4_k_m.gguf"}};
inline const auto name_of = [](const auto& info) { return std::string(info.param.name); };

}  // namespace moraine::testing
