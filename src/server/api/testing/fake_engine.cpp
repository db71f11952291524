#include "server/api/testing/fake_engine.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "tokenizer/byte_chars.h"
#include "tokenizer/vocab_data.h"

namespace moraine::server {

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  VocabData vocab;
  vocab.model = "gpt2";
  vocab.pre = "gpt-2";
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    std::string spelled;
    append_byte_chars(spelled, std::string_view(&byte, 1));
    vocab.tokens.push_back(spelled);
  }
  vocab.types.assign(256, static_cast<int32_t>(TokenType::kNormal));
  for (const char* control : {"<|im_start|>", "<|im_end|>", "<|begin|>"}) {
    vocab.tokens.push_back(control);
    vocab.types.push_back(static_cast<int32_t>(TokenType::kControl));
  }
  vocab.tokens.push_back("the");  // of no merge
  vocab.types.push_back(static_cast<int32_t>(TokenType::kNormal));
  vocab.bos = kFakeBos;
  vocab.eos = kFakeEnd;
  vocab.add_bos = false;
  vocab.add_eos = false;
  return Tokenizer::create(vocab);
}

std::vector<TokenId> byte_tokens(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

class FakeEngine::Run : public Generation {
 public:
  void cancel() noexcept override { cancelled = true; }

  std::atomic<bool> cancelled = false;
  GenerationRequest request;
  FakeScript script;
  std::shared_ptr<GenerationSink> sink;
  GenerationStats stats;
  bool prompt_done = false;
};

FakeEngine::FakeEngine() : tokenizer_(byte_tokenizer()) {
  stats_.drafters = {{"model", 3, 2}};
  model_info.path = "/models/fake-q8_0.gguf";
  model_info.file_name = "fake-q8_0.gguf";
  model_info.name = "Fake";
  model_info.architecture = "fake";
  model_info.quantization = "Q8_0";
  model_info.n_params = 1000;
  model_info.size_bytes = 1064;
  model_info.n_ctx = 256;
  model_info.n_ctx_train = 512;
  model_info.n_vocab = static_cast<int32_t>(tokenizer_->size());
  model_info.n_embd = 8;
  model_info.n_layers = 1;
  model_info.n_parallel = 2;
  model_info.chat_templates = {
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"};
  script = [](const GenerationRequest&) { return FakeScript{.tokens = byte_tokens("Hello")}; };
}

std::shared_ptr<Generation> FakeEngine::generate(GenerationRequest request,
                                                 std::shared_ptr<GenerationSink> sink) {
  if (refuse) throw *refuse;
  auto run = std::make_shared<Run>();
  run->script = script(request);
  run->sink = std::move(sink);
  run->stats.n_prompt = static_cast<int32_t>(request.prompt.size());
  run->stats.n_cached = n_cached;
  run->request = request;
  {
    const std::lock_guard lock(mutex_);
    ++stats_.requests_total;
    requests_.push_back(std::move(request));
    if (!immediate) running_.push_back(run);
  }
  while (immediate && step(*run)) {
  }
  return run;
}

bool FakeEngine::step() {
  std::vector<std::shared_ptr<Run>> now;
  {
    const std::lock_guard lock(mutex_);
    now.assign(running_.begin(), running_.end());
  }
  for (const auto& run : now) {
    if (step(*run)) continue;
    const std::lock_guard lock(mutex_);
    running_.erase(std::find(running_.begin(), running_.end(), run));
  }
  const std::lock_guard lock(mutex_);
  return !running_.empty();
}

// False after the last event.
bool FakeEngine::step(Run& run) {
  const auto end = [&](FinishReason reason) {
    if (reason == FinishReason::kCancelled) {
      const std::lock_guard lock(mutex_);
      ++n_cancelled_;
    }
    const auto sink = std::exchange(run.sink, nullptr);
    sink->on_finish(reason, run.stats);
    return false;
  };
  if (run.cancelled) return end(FinishReason::kCancelled);
  if (!run.prompt_done) {
    run.prompt_done = true;
    run.stats.prompt_ms = 10;
    run.sink->on_prompt_progress(run.stats.n_prompt, run.stats.n_prompt, run.stats.n_cached);
    return true;
  }
  const auto n = static_cast<std::size_t>(run.stats.n_generated);
  if (run.request.max_tokens >= 0 && run.stats.n_generated >= run.request.max_tokens)
    return end(FinishReason::kLength);
  if (run.stats.n_prompt + run.stats.n_generated >= model_info.n_ctx) {
    run.stats.context_full = true;
    return end(FinishReason::kLength);
  }
  const auto& tokens = run.script.tokens;
  const bool at_end = n >= tokens.size() && (run.script.ends || tokens.empty());
  if (at_end && run.script.error) {
    const auto sink = std::exchange(run.sink, nullptr);
    sink->on_error(*run.script.error);
    return false;
  }
  TokenEvent event;
  event.id = at_end ? kFakeEnd : tokens[n % tokens.size()];
  event.end_of_generation = at_end;
  for (const auto& [token, bias] : run.request.sampling.logit_bias) {
    if (token == event.id && bias <= -100) event.id = (event.id + 1) % 256;  // banned: its neighbour
  }
  if (run.request.n_probs >= 0) {
    event.logprob = -0.25f;
    for (int32_t i = 0; i < run.request.n_probs; ++i) {
      event.top.push_back(
          {(event.id + i) % static_cast<TokenId>(tokenizer_->size()), -0.25f - static_cast<float>(i)});
    }
  }
  ++run.stats.n_generated;
  run.stats.generated_ms += 20;
  run.sink->on_token(event);
  return at_end ? end(run.cancelled ? FinishReason::kCancelled : FinishReason::kStop) : true;
}

std::vector<GenerationRequest> FakeEngine::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

int FakeEngine::n_cancelled() const {
  const std::lock_guard lock(mutex_);
  return n_cancelled_;
}

int FakeEngine::n_running() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(running_.size());
}

EngineStats FakeEngine::stats() const {
  const std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.running = static_cast<int32_t>(running_.size());
  stats.waiting = n_waiting;
  return stats;
}

}  // namespace moraine::server
