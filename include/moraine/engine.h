// The engine: one loaded model, one thread that owns it, and the generations running on it.
// Speaks token ids only: text is <moraine/tokenizer.h> and src/chat, JSON is src/server.
// All functions are thread-safe unless they say otherwise; nothing here prints or exits.
#pragma once

#include <moraine/constraint.h>
#include <moraine/device.h>
#include <moraine/error.h>
#include <moraine/sampling.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace moraine {

class Tokenizer;

enum class KvType : uint8_t { kF16, kQ8_0, kF32, kQ4_0 };

// A small model of the same vocabulary that guesses what the large one will say (llama-server's -md). It
// looks back on the latest tokens alone, and reads nothing while prompts are read.
struct DraftModelOptions {
  std::string path;       // a GGUF file; empty: none
  int32_t n_ctx = 0;      // most tokens it looks back on; 0: 1,024, or its trained length if that is less
  int32_t n_threads = 0;  // 0: as the model
  KvType kv_type_k = KvType::kF16;
  KvType kv_type_v = KvType::kF16;
  DeviceOptions device;  // where it runs
  float p_min = 0.5f;    // a draft ends before a token that it takes to be less likely
};

// Guessing ahead: drafted tokens are computed with the next one in one step, and stand where they are what
// would have been drawn anyway. Never another token than without.
struct SpeculationOptions {
  int32_t max_draft = 16;    // most drafted tokens of a step; 0: off
  int32_t min_draft = 1;     // shorter drafts are not worth a step
  bool from_request = true;  // what followed the same tokens earlier in prompt and answer
  bool from_history = true;  // or in earlier answers of the same cache scope
  bool from_grammar = true;  // what a constraint leaves no choice about
  bool from_model = true;    // what the draft model says; false: it is not loaded
  DraftModelOptions model;
  // For measurements and tests: drafts in place of all others, and whether a draft is used whatever it costs.
  // Called on the engine's thread; appends at most `room` tokens that might follow `tokens`.
  std::function<void(std::span<const TokenId> tokens, int32_t room, std::vector<TokenId>& draft)> script;
  bool always = false;
};

struct EngineOptions {
  std::string model_path;       // a GGUF file, or the first file of a split set
  DeviceOptions device;         // the CPU, unless it says otherwise
  int32_t n_ctx = 0;            // tokens of context for each sequence; 0: the trained length or what fits
  int32_t n_threads = 0;        // 0: physical cores this process may use
  int32_t n_threads_batch = 0;  // while prompts are read; 0: as n_threads
  int32_t n_batch = 2048;       // most rows of a step
  int32_t n_ubatch = 512;       // most rows of one forward pass
  int32_t n_parallel = 4;       // most generations running at once; further ones wait their turn
  int32_t max_stall_ms = 500;   // a stream waits no longer for a slice of somebody's prompt
  KvType kv_type_k = KvType::kF16;
  KvType kv_type_v = KvType::kF16;
  // Memory for what finished prompts leave behind, beside that of running ones. Nothing: half of what
  // remains, at most 16 GiB.
  std::optional<uint64_t> cache_bytes;
  SpeculationOptions speculation;
  // A folder where what prompts leave behind outlives the process; empty: none. Where it cannot be used the
  // engine goes on without it, and says so to on_notice.
  std::string cache_disk;
  uint64_t cache_disk_bytes = 16ull << 30;  // most that all files there take
  int32_t cache_disk_settle_ms = 10'000;    // a recurrent state that stood for so long is written
  // Told a whole sentence when something happens that a person should know and no request fails by. Called on
  // any thread, perhaps before load() returns.
  std::function<void(const std::string&)> on_notice;
  std::string isa;                  // "", "scalar", "avx2", ...: force an instruction set (tests, diagnosis)
  uint64_t memory_limit_bytes = 0;  // never plan for more; 0: what the system has free
};

struct MemoryEstimate;

struct LoadProgress {
  const char* phase = "";  // "reading the header", "loading weights", "preparing"
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  double bytes_per_second = 0;
  double seconds_left = -1;                // < 0: not known yet
  const MemoryEstimate* memory = nullptr;  // what loading will take; there from the first report on
};
// Called on the loading thread a few times a second. Return false to cancel (Error kCancelled).
using ProgressFn = std::function<bool(const LoadProgress&)>;

// What a model and context take, by kind, against what there is. All in bytes.
struct MemoryEstimate {
  uint64_t weights = 0;
  uint64_t kv = 0;     // at full context, for one sequence
  uint64_t state = 0;  // of recurrent layers, for one sequence; 0 for models without
  uint64_t scratch = 0;
  uint64_t other = 0;  // tokenizer, logits, tables
  uint64_t draft = 0;  // all that a draft model takes, its windows on the text included
  uint64_t total() const { return weights + kv + state + scratch + other + draft; }
  // Of the total, what lies in a device's memory; and how much this process may take there.
  uint64_t on_device = 0, device_available = 0;
  bool device_is_system = true;  // the device's memory is the system's, and counts there too
  uint64_t cache = 0;            // what finished prompts may take of the rest; never counted against fitting
  uint64_t available = 0;        // free memory this process may use (cgroup limits counted)
  std::string device;            // where it would run: "Vulkan0 (AMD Radeon 8060S)"
  std::string device_note;  // a sentence where that was chosen, or is not what was asked for; may be empty
  int32_t n_ctx = 0;        // the context this estimate is for
  int32_t n_ctx_fits = 0;   // the largest context that would fit
  bool fits() const {
    return on_device <= device_available && total() - (device_is_system ? 0 : on_device) <= available;
  }
};

struct ModelInfo {
  std::string path;
  std::string file_name;     // without folders: the id the API serves it under
  std::string name;          // general.name, or the file's
  std::string architecture;  // "llama"
  std::string size_label;    // "135M"
  std::string quantization;  // "Q4_1"
  std::string device;        // "CPU (avx2), 2 threads"
  uint64_t n_params = 0;
  uint64_t size_bytes = 0;  // of the tensors in the file
  int32_t n_ctx_train = 0;
  int32_t n_ctx = 0;
  int32_t n_vocab = 0;
  int32_t n_embd = 0;
  int32_t n_layers = 0;
  int32_t n_parallel = 0;
  int32_t n_threads = 0;
  std::string draft_model;                  // the name of the one that drafts; empty: none
  std::vector<std::string> chat_templates;  // [0]: the default one; may be empty
  std::vector<std::string> chat_template_names;
  // general.sampling.*: what the file's authors recommend; empty optionals where it says nothing.
  struct Sampling {
    std::optional<float> temperature, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    std::optional<int32_t> top_k, repeat_last_n;
  } sampling;
  std::vector<std::string> notes;  // one sentence each: what the user should know ("MTP block not used")
};

struct TokenProb {
  TokenId id = 0;
  float logprob = 0;  // natural log of the softmax of the unmodified logits
};

struct TokenEvent {
  TokenId id = 0;
  float logprob = 0;               // of this token; only computed where n_probs >= 0
  std::vector<TokenProb> top;      // the n_probs most likely, highest first
  bool end_of_generation = false;  // the model ended its turn with this token: show no text for it
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled };

struct GenerationStats {
  int32_t n_prompt = 0;     // tokens of the prompt
  int32_t n_cached = 0;     // of those, not computed again
  int32_t n_restored = 0;   // of the cached ones, read back from disk for this request
  int32_t n_known = 0;      // of those, met before: from n_cached on a state to continue from was missing
  TokenId known_next = -1;  // what came after the known ones where the prompt goes on otherwise; -1: nothing
  int32_t n_generated = 0;
  int32_t n_drafted = 0;   // tokens guessed ahead for it
  int32_t n_accepted = 0;  // of them, those that held
  double queued_ms = 0;
  double prompt_ms = 0;  // computing n_prompt - n_cached tokens
  double generated_ms = 0;
  bool context_full = false;  // kLength because the context ended, not max_tokens
};

// Receives a generation's events, in order, on the engine's thread: return quickly, never block,
// never throw. Exactly one of on_finish and on_error is called, last. A sink must not own the engine:
// the engine's thread cannot destroy it.
class GenerationSink {
 public:
  virtual ~GenerationSink() = default;
  // processed: tokens of the prompt that are ready, `cached` of them without computing.
  virtual void on_prompt_progress(int32_t processed, int32_t total, int32_t cached) {
    (void)processed, (void)total, (void)cached;
  }
  virtual void on_token(const TokenEvent& event) = 0;
  virtual void on_finish(FinishReason reason, const GenerationStats& stats) = 0;
  virtual void on_error(const Error& error) = 0;
};

struct GenerationRequest {
  std::vector<TokenId> prompt;  // at least one token
  SamplingParams sampling;
  int32_t max_tokens = -1;  // < 0: until the model stops or the context is full; 0: only the prompt
  int32_t n_probs = -1;     // < 0: no log-probabilities
  uint32_t choice = 0;      // index among the n choices of a request: keys the draws
  // Makes what binds this generation, when it is queued; empty: any token may follow.
  std::function<std::unique_ptr<TokenConstraint>()> constraint;
  // Tokens after which the state is worth keeping, because conversations come back to these places: the end
  // of what all of an agent's requests begin with, the beginnings of messages. Any order.
  std::vector<int32_t> boundaries;
  uint64_t cache_scope = 0;  // prompts are reused among requests of one scope only
  int32_t slot = -1;         // the place to run in, if it is free (Engine::save_slot); -1: any
  bool reuse = true;         // false: the whole prompt is computed, whatever is known of it
  int32_t max_draft = -1;    // most drafted tokens of a step, within the engine's own limit; < 0: that limit
  // Generations of one group take turns with other groups for a place to run: a request with many
  // choices does not hold back the next one. 0: a group of its own.
  uint64_t group = 0;
};

// A running generation. Destroying it does not cancel.
class Generation {
 public:
  virtual ~Generation() = default;
  virtual void cancel() noexcept = 0;  // takes effect within one slice of prefill or one token
};

// What became of the tokens that one kind of drafter guessed.
struct DrafterStats {
  std::string name;  // "request", "history", "grammar", "model"
  uint64_t drafted = 0, accepted = 0;
};

struct EngineStats {
  uint64_t prompt_tokens_total = 0, generated_tokens_total = 0, requests_total = 0;
  uint64_t decode_steps_total = 0;
  uint64_t drafted_tokens_total = 0, accepted_tokens_total = 0;
  std::vector<DrafterStats> drafters;  // of these, by who guessed; those that may
  double prompt_seconds_total = 0, generated_seconds_total = 0;
  int32_t running = 0, waiting = 0;
  uint64_t kv_bytes_used = 0;     // by running generations and the cache
  uint64_t cache_bytes_used = 0;  // of them, by what finished ones left
  uint64_t cached_tokens_total = 0;
  uint64_t restored_tokens_total = 0;  // of them, read back from disk
  uint64_t disk_bytes_written = 0, disk_bytes_read = 0;
  uint64_t suspended_total = 0;  // generations that gave their memory up for others, and waited
};

// What became of a conversation in a file.
struct SlotReport {
  int32_t n_tokens = 0;
  uint64_t n_bytes = 0;  // of the file
};

class Engine {
 public:
  virtual ~Engine() = default;

  // Reads the header and the tensors; minutes for large files. Throws Error.
  static std::unique_ptr<Engine> load(const EngineOptions& options, const ProgressFn& progress = {});
  // From the headers alone, a draft model's included; throws Error for a file that cannot be read or run.
  static MemoryEstimate estimate(const EngineOptions& options);
  static std::vector<std::string> architectures();  // those that run

  virtual const ModelInfo& info() const = 0;
  virtual const MemoryEstimate& memory() const = 0;
  virtual std::shared_ptr<const Tokenizer> tokenizer() const = 0;
  virtual EngineStats stats() const = 0;

  // Queues a generation. Throws Error{kContextOverflow} (with both numbers) or kInvalidArgument
  // before any work; later trouble arrives at the sink.
  virtual std::shared_ptr<Generation> generate(GenerationRequest request,
                                               std::shared_ptr<GenerationSink> sink) = 0;

  // The conversation that ended last in a place (0 to n_parallel - 1), written to a file for its user alone,
  // or read from one, as if it had just ended there. They take as long as the file does. Errors: kNotFound
  // (no such place, file, or conversation of this scope in it), kCorruptFile, kIo, kOutOfMemory,
  // kUnavailable; kUnsupported from engines that save none.
  virtual SlotReport save_slot(int32_t, uint64_t /*scope*/, const std::string& /*path*/) { no_slots(); }
  virtual SlotReport restore_slot(int32_t, uint64_t /*scope*/, const std::string& /*path*/) { no_slots(); }
  virtual SlotReport erase_slot(int32_t, uint64_t /*scope*/) { no_slots(); }  // forgets it, in memory

 private:
  [[noreturn]] static void no_slots() {
    throw Error(ErrorCode::kUnsupported, "This engine saves no conversations.");
  }
};

}  // namespace moraine
