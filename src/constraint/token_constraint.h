// Binds a generation to a grammar: from its first token on, from the end of its reasoning on, or only where
// it opens a tool call. Most masks take a few microseconds, less than it takes to hand them to another
// thread: the engine computes those itself when it needs them. Those that are known to take longer are
// computed by workers while the model runs; the engine waits only for one that is late, and takes it on
// itself where no worker has begun.
#pragma once

#include <moraine/constraint.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "constraint/grammar.h"
#include "constraint/workers.h"

namespace moraine::constraint {

// A text that puts the grammar into force; the grammar begins with it.
struct Trigger {
  std::string text;
  bool line_start = false;  // only at the beginning of a line
  bool text_start = false;  // only at the beginning of the answer, behind nothing but white space
};

// Where in a generation its grammar rules.
struct Scope {
  enum class Reasoning : uint8_t { kNone, kMayBegin, kBegun };
  // Within reasoning a generation is free, but for triggers at the beginnings of lines.
  Reasoning reasoning = Reasoning::kNone;
  std::string reasoning_begin, reasoning_end;
  // Empty: the grammar rules from the beginning, or the end of the reasoning, to the end of the generation.
  // Else from each trigger to where the grammar ends.
  std::vector<Trigger> triggers;
  // Once a triggered grammar has ended, the generation ends too.
  bool single = false;
  // What of the answer is written already: the generation continues it.
  std::string begun;
};

// How long masks took, by the two tokens before them: what a grammar finds hard it finds hard again. A guess,
// shared by all generations under one grammar; wrong ones cost time alone.
class MaskCosts {
 public:
  bool is_slow(TokenId before, TokenId last) const { return at(before, last) > kSlow_us; }
  void learn(TokenId before, TokenId last, int64_t us) {
    slot(before, last)
        .store(static_cast<uint16_t>(std::min<int64_t>(us, UINT16_MAX)), std::memory_order_relaxed);
  }

 private:
  static constexpr uint16_t kSlow_us = 50;
  static constexpr size_t kSlots = 2048;
  static size_t index(TokenId before, TokenId last) {
    return (static_cast<uint32_t>(before) * 0x9E3779B1u ^ static_cast<uint32_t>(last) * 0x85EBCA77u) >> 21;
  }
  uint16_t at(TokenId before, TokenId last) const {
    return slots_[index(before, last)].load(std::memory_order_relaxed);
  }
  std::atomic<uint16_t>& slot(TokenId before, TokenId last) { return slots_[index(before, last)]; }

  std::array<std::atomic<uint16_t>, kSlots> slots_{};
};

// A grammar that is there now, or once it is compiled. What must not wait for it goes without.
class Source {
 public:
  explicit Source(std::shared_ptr<const Grammar> grammar = nullptr) : grammar_(std::move(grammar)) {}
  std::shared_ptr<const Grammar> grammar() const;  // null: not yet, or never
  void set(std::shared_ptr<const Grammar> grammar);
  // Sentences about what is not enforced, for the log and the answer.
  void warn(std::string sentence);
  std::vector<std::string> warnings() const;
  MaskCosts& costs() { return costs_; }

 private:
  MaskCosts costs_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Grammar> grammar_;
  std::vector<std::string> warnings_;
};

using LogFn = std::function<void(const std::string&)>;  // a sentence; called on any thread

// What the constraints of a model share. Outlives them.
struct Service {
  Service(std::shared_ptr<const Tokenizer> tokenizer, LogFn log)
      : grammars(tokenizer), tokenizer(std::move(tokenizer)), log(std::move(log)) {}
  Grammars grammars;
  const std::shared_ptr<const Tokenizer> tokenizer;
  const LogFn log;
  Workers compilers{1};  // first to be made, last to end: what they do uses the rest
  Workers masks{2};
};

std::unique_ptr<TokenConstraint> make_constraint(std::shared_ptr<Service> service,
                                                 std::shared_ptr<Source> source, Scope scope);

}  // namespace moraine::constraint
