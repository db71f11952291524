#include "system/models.h"

#include <fmt/format.h>

#include <algorithm>

namespace moraine::system {
namespace {

constexpr uint64_t kMB = 1'000'000;
constexpr uint64_t kWorkSpace = 1000 * kMB;  // activations, logits, tables, with room to spare

// Share of the peak bandwidth reached in practice. A dense model streams its weights; a mixture of experts
// reads many small pieces: Qwen3-Coder-Next Q4_K_M was reported at 38 to 43 tokens a second by other engines
// on a Strix Halo of 256 GB/s, which is 0.38 to 0.43 of it.
constexpr double kDenseShare = 0.75, kMoeShare = 0.4;

std::string folded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
  }
  return out;
}

}  // namespace

// Cache: layers x KV heads x head size x 2 (keys and values) x 2 bytes. Sizes of the files as published.
const std::vector<KnownModel>& known_models() {
  static const std::vector<KnownModel> kModels = {
      // 12 of 48 layers have a cache (2 heads of 256), 36 a state of 32 x 128 x 128 floats; 10 + 1 of 512
      // experts are read for each token; of the 2,560 MB 914 are experts, 762 delta nets, 151 their state.
      {"Qwen3-Coder-Next", "Q4_K_M", "qwen3next", 48'400 * kMB, 2'560 * kMB, 24'576, 80 * kMB, 262144, true,
       true},
      {"Qwen3-Coder-Next", "Q8_0", "qwen3next", 84'700 * kMB, 4'090 * kMB, 24'576, 80 * kMB, 262144, true,
       true},
      {"Qwen3-Coder-30B-A3B-Instruct", "Q4_K_M", "qwen3moe", 18'600 * kMB, 2'000 * kMB, 98'304, 0, 262144,
       true, true},
      {"Llama-3.1-8B-Instruct", "Q4_K_M", "llama", 4'920 * kMB, 4'600 * kMB, 131'072, 0, 131072, false, true},
      {"Llama-3.2-3B-Instruct", "Q4_K_M", "llama", 2'020 * kMB, 2'020 * kMB, 114'688, 0, 131072, false, true},
      {"SmolLM2-1.7B-Instruct", "Q4_K_M", "llama", 1'060 * kMB, 1'060 * kMB, 196'608, 0, 8192, false, true},
      {"SmolLM2-135M-Instruct", "Q4_1", "llama", 98 * kMB, 98 * kMB, 23'040, 0, 8192, false, true},
      {"Qwen3-1.7B", "Q8_0", "qwen3", 1'830 * kMB, 1'830 * kMB, 114'688, 0, 40960, false, false},
  };
  return kModels;
}

uint64_t memory_of(const KnownModel& m, int32_t n_ctx) {
  const uint64_t work_space = std::min(kWorkSpace, m.weights);  // a small model's is small
  return m.weights + m.state + static_cast<uint64_t>(n_ctx) * m.kv_per_token + work_space;
}

int32_t longest_context(const KnownModel& m, uint64_t bytes) {
  if (memory_of(m, 0) > bytes) return 0;
  const uint64_t tokens = (bytes - memory_of(m, 0)) / m.kv_per_token;
  if (tokens >= static_cast<uint64_t>(m.n_ctx_train)) return m.n_ctx_train;
  return static_cast<int32_t>(tokens / 1000 * 1000);
}

std::vector<const KnownModel*> find_known_models(std::string_view text) {
  const size_t folder = text.find_last_of('/');
  if (folder != std::string_view::npos) text.remove_prefix(folder + 1);
  if (text.size() > 5 && folded(text.substr(text.size() - 5)) == "gguf") text.remove_suffix(5);
  const std::string wanted = folded(text);
  std::vector<const KnownModel*> exact, by_name, partial;
  if (wanted.size() < 4) return {};
  for (const KnownModel& m : known_models()) {
    const std::string name = folded(m.name), full = name + folded(m.quantization);
    if (wanted == full) exact.push_back(&m);
    const bool first_of_name = by_name.empty() || std::string_view(by_name.back()->name) != m.name;
    if (wanted == name && first_of_name) by_name.push_back(&m);
    const bool first_partial = partial.empty() || std::string_view(partial.back()->name) != m.name;
    if (full.find(wanted) != std::string::npos && first_partial) partial.push_back(&m);
  }
  return !exact.empty() ? exact : !by_name.empty() ? by_name : partial;
}

std::string full_name(const KnownModel& m) { return fmt::format("{} {}", m.name, m.quantization); }

double expected_speed(const KnownModel& m, double bandwidth) {
  return bandwidth * (m.is_moe ? kMoeShare : kDenseShare) / static_cast<double>(m.weights_per_token);
}

}  // namespace moraine::system
