// One JSON value as models write it, read in pieces, written at once as strict JSON without white space.
// What is taken beside JSON: Python's True, False and None; strings in single quotes; line ends and other
// control characters within strings; trailing and missing commas; quotes that were not escaped, where what
// follows them shows it; lone surrogates (U+FFFD). Gemma's way of quoting is a style. Never recurses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace moraine::chat {

class RelaxedJson {
 public:
  enum class Style : uint8_t {
    kJson,
    kGemma,  // keys bare, strings in <|"|> and raw, bare words are strings too
  };
  enum class Status : uint8_t { kMore, kDone, kFailed };
  static constexpr size_t kMaxDepth = 64;
  static constexpr std::string_view kGemmaQuote = "<|\"|>";

  // `within`: the value stands in an object whose reader is somebody else.
  explicit RelaxedJson(Style style = Style::kJson, bool within = false) : style_(style), within_(within) {}

  // Reads from the front of `in` and takes away what it read; what it left with kMore must be there again
  // with the next piece. `at_end`: no piece follows. After kFailed, `in` begins where it failed.
  Status push(std::string_view& in, std::string& out, bool at_end = false);
  // What makes valid JSON of what was written, wherever reading stopped.
  std::string closing() const;
  // Whether reading stopped behind a value, so that nothing but brackets is missing.
  bool closable() const { return state_ == State::kAfter || state_ == State::kDone; }

 private:
  enum class State : uint8_t { kValue, kKey, kColon, kString, kWord, kAfter, kDone };
  enum class Quote : uint8_t { kDouble, kSingle, kGemma };

  Status read_value(std::string_view& in, std::string& out);
  Status read_key(std::string_view& in, std::string& out);
  Status read_string(std::string_view& in, std::string& out, bool at_end);
  Status read_escape(std::string_view& in, std::string& out, bool at_end);
  Status read_word(std::string_view& in, std::string& out, bool at_end);
  Status read_after(std::string_view& in, std::string& out);
  Status open_string(std::string_view& in, std::string& out);
  bool ends_string(std::string_view behind, bool at_end, bool& sure) const;
  void end_value();
  Status close(std::string_view& in, std::string& out);
  void comma(std::string& out);

  Style style_;
  bool within_;
  State state_ = State::kValue;
  Quote quote_ = Quote::kDouble;
  bool string_is_key_ = false;
  bool comma_ = false;  // one stands before the next key or value
  bool empty_ = false;  // nothing in the innermost bracket yet
  std::string stack_;   // open brackets
  std::string word_;
};

}  // namespace moraine::chat
