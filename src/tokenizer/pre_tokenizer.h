// Cuts text into the words that byte-level BPE never merges across, by the regular expressions that
// model families publish. The table of known ones is in pre_tokenizer.cpp; a new one is one entry.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct pcre2_real_code_8;

namespace moraine {

struct PreTokenizerSpec;

class PreTokenizer {
 public:
  // A value of tokenizer.ggml.pre. Throws Error{kUnsupported}, listing the known names, for another.
  explicit PreTokenizer(std::string_view name);

  // Work memory for splitting, for one thread at a time.
  class Context;
  struct DeleteContext {
    void operator()(Context* context) const noexcept;
  };
  static std::unique_ptr<Context, DeleteContext> make_context();

  // Appends the pieces of the text, which must be valid UTF-8; put together they give it back.
  // Linear time for the patterns of the table. Compiled matching stays within PCRE2's 32 KiB of
  // stack; a match that needs more runs interpreted, on the heap.
  void split(std::string_view text, Context& context, std::vector<std::string_view>& words) const;

  bool nfc() const noexcept;            // text is to be normalised first
  bool ignore_merges() const noexcept;  // a word that is a token stays one, whatever the merges say
  bool add_bos() const noexcept;        // what a file that does not say means

 private:
  struct DeleteCode {
    void operator()(pcre2_real_code_8* code) const noexcept;
  };
  using Code = std::unique_ptr<pcre2_real_code_8, DeleteCode>;
  static void split_by(const Code& code, std::string_view text, Context& context,
                       std::vector<std::string_view>& pieces);

  const PreTokenizerSpec* spec_;
  std::vector<Code> stages_;  // each cuts the pieces that the one before it left
};

}  // namespace moraine
