// Within one call of encode(), the ids of words met before: real text repeats most of its words.
#pragma once

#include <moraine/tokenizer.h>

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace moraine {

class WordCache {
 public:
  // Appends the ids that `encode(word)` appended to out when this word first came. The word's bytes
  // must outlive the cache, and out may only grow.
  template <class Encode>
  void append(std::string_view word, std::vector<TokenId>& out, Encode&& encode) {
    if (word.size() > kMaxWordBytes) return encode(word);
    if (const auto known = spans_.find(word); known != spans_.end()) {
      const auto [begin, size] = known->second;
      for (std::size_t i = begin; i < begin + size; ++i) out.push_back(out[i]);
      return;
    }
    const std::size_t begin = out.size();
    encode(word);
    if (spans_.size() < kMaxWords) spans_.emplace(word, Span{begin, out.size() - begin});
  }

 private:
  static constexpr std::size_t kMaxWordBytes = 64, kMaxWords = 1u << 16;
  struct Span {
    std::size_t begin, size;
  };
  std::unordered_map<std::string_view, Span> spans_;
};

}  // namespace moraine
