// Models that moraine's users run, by name: their sizes and what each token costs, so that doctor can say
// what fits a machine before anything is downloaded. Files on disk are measured by Engine::estimate instead.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::system {

// All of one quantisation. Sizes in bytes.
struct KnownModel {
  const char* name;            // "Qwen3-Coder-Next"
  const char* quantization;    // "Q4_K_M"
  const char* architecture;    // as GGUF says it: "qwen3next"
  uint64_t weights;            // of the file
  uint64_t weights_per_token;  // of those, read for each token: all of a dense model's but its embeddings
  uint64_t kv_per_token;       // of the cache, keys and values in 16 bits
  uint64_t state;              // recurrent state of a sequence, whatever its length
  int32_t n_ctx_train;
  bool is_moe;
  bool suggest;  // false: known by name (a draft model), never suggested as the main one
};
const std::vector<KnownModel>& known_models();  // the best for coding agents first

// The weights, the cache of one sequence of n_ctx tokens, and work space.
uint64_t memory_of(const KnownModel& model, int32_t n_ctx);
// The longest context, in whole thousands, with which the model takes no more than `bytes`; 0: none.
int32_t longest_context(const KnownModel& model, uint64_t bytes);

// Models that `text` names: "qwen3-coder-next", "Qwen3-Coder-Next:Q4_K_M", "qwen3-coder-next-q4_k_m.gguf", in
// any case. Without a quantisation, the first of the name. Several: the text is ambiguous.
std::vector<const KnownModel*> find_known_models(std::string_view text);
std::string full_name(const KnownModel& model);  // "Qwen3-Coder-Next Q4_K_M"

// Tokens a second of one answer: how often the weights can be read, times the share of a device's bandwidth
// that engines reach. `bandwidth`: bytes a second.
double expected_speed(const KnownModel& model, double bandwidth);

}  // namespace moraine::system
