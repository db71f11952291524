#include "tokenizer/bpe.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <deque>

#include "tokenizer/byte_chars.h"
#include "tokenizer/nfc.h"
#include "tokenizer/word_cache.h"

namespace moraine {

BpeEncoder::BpeEncoder(const VocabData& data, const Vocab& vocab, PreTokenizer pre)
    : vocab_(vocab), pre_(std::move(pre)) {
  for (int b = 0; b < 256; ++b) {
    std::string spelled;
    utf8::append(spelled, kByteChars[b]);
    const TokenId id = vocab.find(spelled);
    byte_ids_[b] = id != kNoToken && vocab.is_plain(id) ? id : kNoToken;
  }
  if (data.merges.size() > kMaxMerges)
    throw Error(ErrorCode::kCorruptFile,
                fmt::format("The vocabulary claims {} merges; at most {} are accepted.", data.merges.size(),
                            kMaxMerges));
  std::string joined;
  for (size_t i = 0; i < data.merges.size(); ++i) {
    const std::string_view merge = data.merges[i];
    const size_t space = merge.find(' ', 1);
    if (space == merge.npos || space + 1 == merge.size())
      throw Error(ErrorCode::kCorruptFile,
                  fmt::format("Merge {} of the vocabulary is not of the form \"left right\".", i));
    const std::string_view left_text = merge.substr(0, space), right_text = merge.substr(space + 1);
    joined.assign(left_text).append(right_text);
    const TokenId left = vocab.find(left_text), right = vocab.find(right_text), result = vocab.find(joined);
    if (left == kNoToken || right == kNoToken || result == kNoToken)
      throw Error(
          ErrorCode::kCorruptFile,
          fmt::format("Merge {} of the vocabulary, or what it results in, is not among the tokens.", i));
    if (vocab.is_plain(result)) merges_.add(left, right, {static_cast<uint32_t>(i), result});
  }
}

void BpeEncoder::encode(std::span<const Segment> segments, std::vector<TokenId>& out) const {
  const auto context = PreTokenizer::make_context();
  Merger merger(merges_);
  WordCache cache(segments);
  std::deque<std::string> normalised;  // owns what the cache refers to
  std::vector<std::string_view> words;
  std::string spelled;

  const auto encode_word = [&](std::string_view word) {
    if (pre_.ignore_merges()) {
      spelled.clear();
      if (word.size() <= kMaxTokenBytes) append_byte_chars(spelled, word);
      if (const TokenId id = vocab_.find(spelled); id != kNoToken && vocab_.is_plain(id))
        return out.push_back(id);
    }
    for (const char c : word) {
      const TokenId id = byte_ids_[static_cast<uint8_t>(c)];
      if (id != kNoToken) merger.push(id);
    }
    merger.finish(out);
  };

  for (const Segment& segment : segments) {
    if (segment.token != kNoToken) {
      out.push_back(segment.token);
      continue;
    }
    // Bytes that are not UTF-8 pass by the regular expressions, each run of them a word of its own.
    for (std::string_view text = segment.text; !text.empty();) {
      const std::string_view valid = text.substr(0, utf8::valid_prefix(text));
      text.remove_prefix(valid.size());
      if (!valid.empty()) {
        words.clear();
        const bool normalise = pre_.nfc() && !utf8::is_ascii(valid);
        pre_.split(normalise ? normalised.emplace_back(to_nfc(valid)) : valid, *context, words);
        for (const std::string_view word : words) cache.append(word, out, encode_word);
      }
      size_t broken = 0;
      while (broken < text.size()) {
        const utf8::Sequence s = utf8::next(text.substr(broken));
        if (s.kind == utf8::Kind::kValid) break;
        broken += s.size;
      }
      if (broken > 0) encode_word(text.substr(0, broken));
      text.remove_prefix(broken);
    }
  }
}

}  // namespace moraine
