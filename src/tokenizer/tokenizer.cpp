// The public Tokenizer: puts vocabulary, splitter and model together. Declared, with what it
// promises, in <moraine/tokenizer.h>.
#include <fmt/format.h>
#include <moraine/error.h>
#include <moraine/tokenizer.h>

#include <algorithm>

#include "tokenizer/bpe.h"
#include "tokenizer/special_tokens.h"
#include "tokenizer/splitter.h"
#include "tokenizer/spm.h"
#include "tokenizer/vocab.h"

namespace moraine {
namespace {

ModelKind parse_kind(std::string_view model) {
  if (model == "gpt2") return ModelKind::kBpe;
  if (model == "llama") return ModelKind::kSpm;
  throw Error(
      ErrorCode::kUnsupported,
      fmt::format("The file's tokenizer \"{}\" (tokenizer.ggml.model) is not one this version knows. Known "
                  "are: gpt2 (byte-level BPE), llama (SentencePiece).",
                  model.substr(0, 100)));
}

// Positions within a text are 32 bits wide.
constexpr size_t kMaxTextBytes = size_t{1} << 30;

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(const VocabData& data)
      : kind(parse_kind(data.model)), vocab(data, kind), model_name(data.model), pre_name(data.pre) {
    if (kind == ModelKind::kBpe) {
      if (pre_name.empty()) pre_name = "default";
      PreTokenizer pre(pre_name);
      special = find_special_tokens(data, vocab, pre.add_bos());
      encoder = std::make_unique<BpeEncoder>(data, vocab, std::move(pre));
    } else {
      pre_name.clear();
      space_prefix = data.add_space_prefix.value_or(true);
      special = find_special_tokens(data, vocab, true);
      encoder = std::make_unique<SpmEncoder>(data, vocab, special.unk, space_prefix);
    }
    end_of_generation = find_end_of_generation(special, vocab);
    splitter.emplace(vocab);
  }

  // Appends what the token adds to a text. `at_start`: nothing came before it yet.
  void append(std::string& out, TokenId id, const DecodeOptions& options, bool& at_start) const {
    if (id < 0 || static_cast<size_t>(id) >= vocab.size()) return;
    const TokenType type = vocab.type(id);
    std::string_view bytes = vocab.bytes(id);
    if (type == TokenType::kControl || type == TokenType::kUnknown) {
      const bool shown = std::find(options.shown.begin(), options.shown.end(), id) != options.shown.end();
      if (shown || options.show_control) out += bytes;
      return;
    }
    if (at_start && space_prefix && bytes.starts_with(' ')) bytes.remove_prefix(1);
    at_start = false;
    out += bytes;
  }

  ModelKind kind;
  Vocab vocab;
  std::string model_name, pre_name;
  bool space_prefix = false;  // the model puts a space before a text
  SpecialTokens special;
  std::vector<TokenId> end_of_generation;
  std::optional<Splitter> splitter;  // after `special`, which may mend types
  std::unique_ptr<const TextEncoder> encoder;
};

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::create(const VocabData& vocab) {
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::make_unique<const Impl>(vocab)));
}

std::vector<TokenId> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > kMaxTextBytes)
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("The text has {} bytes; at most {} can be tokenized at once.", text.size(),
                            kMaxTextBytes));
  const SpecialTokens& special = impl_->special;
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 3 + 2);
  const std::vector<Segment> segments = impl_->splitter->split(text, options.parse_special);
  const bool begins_with_bos = !segments.empty() && segments.front().token == special.bos;
  if (options.add_special && special.add_bos && !begins_with_bos) ids.push_back(special.bos);
  impl_->encoder->encode(segments, ids);
  const bool ends_with_eos = !segments.empty() && segments.back().token == special.eos;
  if (options.add_special && special.add_eos && !ends_with_eos) ids.push_back(special.eos);
  return ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, DecodeOptions options) const {
  std::string out;
  bool at_start = options.text_start;
  for (const TokenId id : ids) impl_->append(out, id, options, at_start);
  return out;
}

size_t Tokenizer::size() const noexcept { return impl_->vocab.size(); }

namespace {
void check_id(const Tokenizer& tokenizer, TokenId id) {
  if (!tokenizer.contains(id))
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("There is no token {}; the vocabulary has {}.", id, tokenizer.size()));
}
}  // namespace

TokenType Tokenizer::type(TokenId id) const {
  check_id(*this, id);
  return impl_->vocab.type(id);
}
std::string_view Tokenizer::token_text(TokenId id) const {
  check_id(*this, id);
  return impl_->vocab.text(id);
}
std::string_view Tokenizer::token_bytes(TokenId id) const {
  check_id(*this, id);
  return impl_->vocab.bytes(id);
}
bool Tokenizer::is_end_of_generation(TokenId id) const noexcept {
  return std::binary_search(impl_->end_of_generation.begin(), impl_->end_of_generation.end(), id);
}
TokenId Tokenizer::find(std::string_view token_text) const noexcept { return impl_->vocab.find(token_text); }
const SpecialTokens& Tokenizer::special() const noexcept { return impl_->special; }
std::span<const TokenId> Tokenizer::end_of_generation() const noexcept { return impl_->end_of_generation; }
std::string_view Tokenizer::model() const noexcept { return impl_->model_name; }
std::string_view Tokenizer::pre() const noexcept { return impl_->pre_name; }

}  // namespace moraine
