// Text to token ids and back, as the vocabulary inside a model file defines it. A Tokenizer is
// immutable and may be used from any number of threads; all work memory belongs to the call.
// Built from a file by tokenizer/load.h; chat templates are in chat/template.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace moraine {

using TokenId = std::int32_t;
inline constexpr TokenId kNoToken = -1;

// What a vocabulary entry is; the values are those of `tokenizer.ggml.token_type`.
enum class TokenType : std::uint8_t {
  kNormal = 1,
  kUnknown = 2,      // stands for text the vocabulary cannot express
  kControl = 3,      // shapes the conversation (<|im_end|>); never part of the visible text
  kUserDefined = 4,  // added by the model's authors; ordinary text, always kept in one piece
  kUnused = 5,
  kByte = 6,  // one raw byte, <0x0A>
};

// The tokens a file names (or that are known by their text); kNoToken where there is none.
struct SpecialTokens {
  TokenId bos = kNoToken, eos = kNoToken, eot = kNoToken, eom = kNoToken;
  TokenId unk = kNoToken, sep = kNoToken, pad = kNoToken, mask = kNoToken;
  TokenId fim_prefix = kNoToken, fim_suffix = kNoToken, fim_middle = kNoToken;
  TokenId fim_pad = kNoToken, fim_repo = kNoToken, fim_file_sep = kNoToken;
  bool add_bos = false;  // begin every prompt with bos
  bool add_eos = false;  // end every prompt with eos
};

struct EncodeOptions {
  bool add_special = true;     // add bos and eos where the model wants them; never a second bos
  bool parse_special = false;  // read "<|im_end|>" in the text as that token, not as its letters
};

struct DecodeOptions {
  bool show_control = false;  // print control and unknown tokens by their text instead of nothing
  // Control tokens to print all the same: those that a model's tool calls are written with. A view: what it
  // shows must live as long as the options are used.
  std::span<const TokenId> shown = {};
  // Whether the first token begins a text. If it only continues one (an answer after its prompt),
  // the space that SentencePiece models put before a text is real and stays.
  bool text_start = true;
};

struct VocabData;  // tokenizer/vocab_data.h: a vocabulary as a file holds it

class Tokenizer {
 public:
  // Throws Error: kCorruptFile for a vocabulary that contradicts itself, kUnsupported for a model
  // or pre-tokenizer that is not known (the message lists those that are).
  static std::shared_ptr<const Tokenizer> create(const VocabData& vocab);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Any bytes are accepted. Sequences that are not UTF-8 become the tokens of their raw bytes, so
  // that decode() gives them back, where the vocabulary has such tokens. O(n log n) in the bytes.
  std::vector<TokenId> encode(std::string_view text, EncodeOptions options = {}) const;

  // The bytes of a run of tokens; they may end within a UTF-8 character or hold invalid UTF-8 if
  // the tokens do (StreamDecoder mends that). Ids outside the vocabulary add nothing.
  std::string decode(std::span<const TokenId> ids, DecodeOptions options = {}) const;

  std::size_t size() const noexcept;  // ids are 0 .. size() - 1
  bool contains(TokenId id) const noexcept { return id >= 0 && static_cast<std::size_t>(id) < size(); }

  // The queries below throw Error{kInvalidArgument} for an id that is not contained.
  TokenType type(TokenId id) const;
  bool is_control(TokenId id) const { return type(id) == TokenType::kControl; }
  bool is_end_of_generation(TokenId id) const noexcept;  // eos, eot and the like; false for a foreign id
  std::string_view token_text(TokenId id) const;         // as spelled in the file ("Ġthe", "▁the", "<0x0A>")
  std::string_view token_bytes(TokenId id) const;        // what it adds to a text (" the"); control: its text

  // The id spelled exactly so in the file, or kNoToken.
  TokenId find(std::string_view token_text) const noexcept;

  const SpecialTokens& special() const noexcept;
  std::span<const TokenId> end_of_generation() const noexcept;  // ascending
  std::string_view model() const noexcept;                      // "gpt2", "llama"
  std::string_view pre() const noexcept;                        // "smollm"; empty where it has none

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// Turns a stream of tokens into text as it arrives, never handing out part of a UTF-8 character.
// What can no longer become valid UTF-8 appears as U+FFFD, once for each maximal invalid part.
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, DecodeOptions options = {});

  std::string push(TokenId id);  // the text that is now certain; often empty within an emoji
  std::string flush();           // what is left, an unfinished character as U+FFFD; starts afresh
  std::size_t pending_bytes() const noexcept { return pending_.size(); }

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  DecodeOptions options_;
  bool at_start_;
  std::string pending_;  // at most 3 bytes: the beginning of a character
};

}  // namespace moraine
