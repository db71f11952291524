// Compiled grammars over one model's vocabulary, and texts that grow under them: the C interface of rust/
// with its lifetimes. Which grammar a request needs is not known here; token_constraint.h binds a generation
// to one.
#pragma once

#include <moraine/tokenizer.h>

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct moraine_vocabulary;
struct moraine_grammar;
struct moraine_matcher;

namespace moraine::constraint {

// Immutable; used by any number of threads.
class Grammar {
 public:
  ~Grammar();
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;
  // What of the schemas in it is not enforced, in the words of the engine of grammars.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  friend class Grammars;
  friend class Matcher;
  Grammar() = default;
  moraine_grammar* handle_ = nullptr;
  std::vector<std::string> warnings_;
};

// One text under a grammar. After a call that returned false it allows nothing more, and error() says why.
class Matcher {
 public:
  // Some milliseconds, unless one was used before. Throws Error.
  explicit Matcher(const Grammar& grammar);
  ~Matcher();
  Matcher(const Matcher&) = delete;
  Matcher& operator=(const Matcher&) = delete;

  bool accept(TokenId token);
  bool accept(std::string_view text);  // as any tokens that spell it
  // words [ceil(n_vocab / 32)]: the tokens that may follow.
  bool mask(std::span<uint32_t> words);
  // The text that must follow, `most` bytes of it; it ends before a control token. Changes nothing.
  std::string forced(size_t most) const;
  bool ended() const { return ended_; }  // as of mask(): only the end can follow
  const std::string& error() const { return error_; }

 private:
  moraine_matcher* handle_ = nullptr;
  bool ended_ = false;
  std::string error_;
};

// The grammars of one model. Thread-safe.
class Grammars {
 public:
  // Builds nothing yet: most requests need none, and the vocabulary takes half a second and some ten MB.
  explicit Grammars(std::shared_ptr<const Tokenizer> tokenizer);
  ~Grammars();
  Grammars(const Grammars&) = delete;
  Grammars& operator=(const Grammars&) = delete;

  // Those compiled last are kept: an agent sends the same tools with each request. The first call builds the
  // vocabulary. Throws Error{kInvalidArgument} for a grammar that cannot be used, with the reason as a
  // sentence.
  std::shared_ptr<const Grammar> compile(const std::string& lark);
  void check(const std::string& lark);  // throws as compile() would; keeps nothing

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  // A token in a grammar: by its id where it is a control token, else its text.
  std::string lark_token(std::string_view text) const;

 private:
  const moraine_vocabulary* vocabulary();
  std::shared_ptr<Grammar> compile_new(const std::string& lark);

  const std::shared_ptr<const Tokenizer> tokenizer_;
  std::mutex building_;  // guards vocabulary_
  moraine_vocabulary* vocabulary_ = nullptr;
  std::mutex mutex_;                                                        // guards kept_
  std::list<std::pair<std::string, std::shared_ptr<const Grammar>>> kept_;  // used last first
};

}  // namespace moraine::constraint
