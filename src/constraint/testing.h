// A model's tokens for the tests of constraints: every byte, and some of what vocabularies hold beside text.
#pragma once

#include <moraine/tokenizer.h>

#include <memory>
#include <string>
#include <vector>

#include "constraint/token_constraint.h"
#include "tokenizer/testing.h"

namespace moraine::constraint {

inline constexpr TokenId kFirst = 1000;  // beyond what the byte vocabulary has; the tests add these in order

inline VocabData test_vocabulary() {
  VocabData data = moraine::testing::tiny_bpe();
  const auto pad = static_cast<TokenId>(data.tokens.size());
  for (TokenId id = pad; id < kFirst; ++id)
    moraine::testing::add_token(data, "unused" + std::to_string(id), TokenType::kUnused);
  moraine::testing::add_token(data, "<|end|>", TokenType::kControl);
  moraine::testing::add_token(data, "<think>", TokenType::kUserDefined);
  moraine::testing::add_token(data, "[CALLS]", TokenType::kControl);
  moraine::testing::add_token(data, ">1");
  data.eos = kFirst;
  return data;
}

inline constexpr TokenId kEnd = kFirst, kThink = kFirst + 1, kCalls = kFirst + 2, kTagEndOne = kFirst + 3;

// Tokens 0 to 255 are bytes.
inline TokenId byte_token(char c) { return static_cast<uint8_t>(c); }

inline std::shared_ptr<Service> make_service(std::vector<std::string>* log = nullptr) {
  return std::make_shared<Service>(Tokenizer::create(test_vocabulary()), [log](const std::string& line) {
    if (log != nullptr) log->push_back(line);
  });
}

}  // namespace moraine::constraint
