// Cuts a text at the tokens that are always one piece: control tokens where they are to be read,
// user-defined ones everywhere. The longest token at the leftmost place wins. What lies between
// goes to the model: bpe.cpp, spm.cpp.
#pragma once

#include <moraine/tokenizer.h>

#include <bitset>
#include <string_view>
#include <vector>

#include "tokenizer/flat_map.h"
#include "tokenizer/vocab.h"

namespace moraine {

// A special token, or a non-empty run of text.
struct Segment {
  TokenId token = kNoToken;
  std::string_view text;
};

// Real ones reach 50 bytes. The bound keeps the search linear in the text: at each place at most so
// many steps down the trie.
inline constexpr std::size_t kMaxSpecialBytes = 256;
inline constexpr std::size_t kMaxSpecialBytesInAll = 16u << 20;

class Splitter {
 public:
  // Throws Error{kCorruptFile} for special tokens beyond the bounds above.
  explicit Splitter(const Vocab& vocab);

  std::vector<Segment> split(std::string_view text, bool parse_special) const;

 private:
  static constexpr std::uint32_t kRoot = 0;
  struct Node {
    TokenId token = kNoToken;
    bool user_defined = false;
  };
  static std::uint64_t edge(std::uint32_t node, char byte) noexcept {
    return std::uint64_t{node} << 8 | static_cast<std::uint8_t>(byte);
  }

  std::vector<Node> nodes_;
  FlatMap<std::uint32_t> edges_;
  std::bitset<256> first_user_, first_any_;  // bytes that user-defined tokens, or any, begin with
};

}  // namespace moraine
