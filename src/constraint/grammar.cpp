#include "constraint/grammar.h"

#include <fmt/format.h>
#include <moraine/error.h>
#include <moraine_rust.h>

#include <algorithm>
#include <memory>

#include "constraint/lark.h"

namespace moraine::constraint {
namespace {

constexpr size_t kMaxKept = 32;
constexpr size_t kMaxKeptBytes = 8 << 20;  // of their texts

struct RustError {
  moraine_error value{};
  ~RustError() { moraine_text_free(value.message); }
  std::string text() const {
    return value.message.size > 0 ? std::string(value.message.data, value.message.size) : "unknown";
  }
};

std::vector<std::string> lines(std::string_view text) {
  std::vector<std::string> result;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line(text.substr(begin, end - begin));
    if (!line.empty() && std::find(result.begin(), result.end(), line) == result.end())
      result.push_back(std::move(line));
    begin = end + 1;
  }
  return result;
}

}  // namespace

Grammar::~Grammar() { moraine_grammar_free(handle_); }

Matcher::Matcher(const Grammar& grammar) {
  RustError error;
  if (moraine_matcher_start(grammar.handle_, &handle_, &error.value) != MORAINE_OK)
    throw Error(ErrorCode::kInternal, "A constraint cannot begin: " + error.text() + ".");
}

Matcher::~Matcher() { moraine_matcher_free(handle_); }

bool Matcher::accept(TokenId token) {
  RustError error;
  if (moraine_matcher_accept(handle_, static_cast<uint32_t>(token), &error.value) == MORAINE_OK) return true;
  error_ = error.text();
  return false;
}

bool Matcher::accept(std::string_view text) {
  RustError error;
  if (moraine_matcher_accept_text(handle_, {text.data(), text.size()}, &error.value) == MORAINE_OK)
    return true;
  error_ = error.text();
  return false;
}

bool Matcher::mask(std::span<uint32_t> words) {
  RustError error;
  if (moraine_matcher_mask(handle_, words.data(), words.size(), &ended_, &error.value) == MORAINE_OK)
    return true;
  error_ = error.text();
  return false;
}

std::string Matcher::forced(size_t most) const {
  RustError error;
  size_t n = 0;
  std::string text(most, '\0');
  auto* bytes = reinterpret_cast<uint8_t*>(text.data());
  if (moraine_matcher_forced(handle_, bytes, most, &n, &error.value) != MORAINE_OK) return "";
  text.resize(n);
  return text.substr(0, text.find('\xFF'));
}

Grammars::Grammars(std::shared_ptr<const Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {}

Grammars::~Grammars() { moraine_vocabulary_free(vocabulary_); }

const moraine_vocabulary* Grammars::vocabulary() {
  const std::lock_guard lock(building_);
  if (vocabulary_ != nullptr) return vocabulary_;
  const auto n = static_cast<uint32_t>(tokenizer_->size());
  std::vector<uint8_t> bytes, kinds(n);
  std::vector<uint32_t> ends(n);
  for (uint32_t id = 0; id < n; ++id) {
    const auto token = static_cast<TokenId>(id);
    const TokenType type = tokenizer_->type(token);
    const bool control = type == TokenType::kControl || tokenizer_->is_end_of_generation(token);
    kinds[id] = control                                                     ? MORAINE_TOKEN_CONTROL
                : type == TokenType::kUnknown || type == TokenType::kUnused ? MORAINE_TOKEN_NEVER
                                                                            : MORAINE_TOKEN_TEXT;
    const std::string_view text = tokenizer_->token_bytes(token);
    bytes.insert(bytes.end(), text.begin(), text.end());
    ends[id] = static_cast<uint32_t>(bytes.size());
  }
  const auto end_tokens = tokenizer_->end_of_generation();
  const std::vector<uint32_t> end_ids(end_tokens.begin(), end_tokens.end());
  const moraine_vocabulary_input input{
      bytes.data(), ends.data(), kinds.data(), n, end_ids.data(), static_cast<uint32_t>(end_ids.size())};
  RustError error;
  if (moraine_vocabulary_build(&input, &vocabulary_, &error.value) != MORAINE_OK)
    throw Error(ErrorCode::kUnsupported,
                "Constrained answers are not possible with this model's vocabulary: " + error.text() + ".");
  return vocabulary_;
}

std::shared_ptr<Grammar> Grammars::compile_new(const std::string& lark) {
  const moraine_vocabulary* vocabulary = this->vocabulary();
  std::shared_ptr<Grammar> grammar(new Grammar);
  RustError error;
  moraine_text warnings{};
  const int32_t status = moraine_grammar_compile(vocabulary, {lark.data(), lark.size()}, &grammar->handle_,
                                                 &warnings, &error.value);
  if (status != MORAINE_OK)
    throw Error(status == MORAINE_INTERNAL ? ErrorCode::kInternal : ErrorCode::kInvalidArgument,
                fmt::format("{}.", error.text()));
  const std::unique_ptr<moraine_text, void (*)(moraine_text*)> guard(
      &warnings, [](moraine_text* text) { moraine_text_free(*text); });
  if (warnings.size > 0) grammar->warnings_ = lines({warnings.data, warnings.size});
  return grammar;
}

void Grammars::check(const std::string& lark) { compile_new(lark); }

std::shared_ptr<const Grammar> Grammars::compile(const std::string& lark) {
  {
    const std::lock_guard lock(mutex_);
    const auto known =
        std::find_if(kept_.begin(), kept_.end(), [&](const auto& k) { return k.first == lark; });
    if (known != kept_.end()) {
      kept_.splice(kept_.begin(), kept_, known);
      return known->second;
    }
  }
  std::shared_ptr<const Grammar> grammar = compile_new(lark);
  const std::lock_guard lock(mutex_);
  kept_.emplace_front(lark, grammar);
  size_t n = 0, n_bytes = 0;
  for (auto it = kept_.begin(); it != kept_.end();) {
    n_bytes += it->first.size();
    it = ++n > kMaxKept || (n > 1 && n_bytes > kMaxKeptBytes) ? kept_.erase(it) : std::next(it);
  }
  return grammar;
}

std::string Grammars::lark_token(std::string_view text) const {
  const TokenId id = tokenizer_->find(text);
  if (id != kNoToken && tokenizer_->is_control(id)) return fmt::format("<[{}]>", id);
  return lark_text(text);
}

}  // namespace moraine::constraint
