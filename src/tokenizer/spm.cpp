#include "tokenizer/spm.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

#include "tokenizer/utf8.h"
#include "tokenizer/word_cache.h"

namespace moraine {
namespace {

// Longer tokens are known but not merged into; real ones reach 93 bytes. It bounds the search for
// the ways to split a token at load.
constexpr size_t kMaxMergedBytes = 256;

}  // namespace

SpmEncoder::SpmEncoder(const VocabData& data, const Vocab& vocab, TokenId unk, bool add_space_prefix)
    : vocab_(vocab), unk_(unk), add_space_prefix_(add_space_prefix) {
  if (data.scores.size() < vocab.size())
    throw Error(ErrorCode::kCorruptFile, fmt::format("tokenizer.ggml.scores has {} entries for {} tokens.",
                                                     data.scores.size(), vocab.size()));
  for (size_t i = 0; i < vocab.size(); ++i)
    if (std::isnan(data.scores[i]))
      throw Error(ErrorCode::kCorruptFile, fmt::format("The score of token {} is not a number.", i));

  byte_ids_.fill(kNoToken);
  for (TokenId id = 0; id < static_cast<TokenId>(vocab.size()); ++id)
    if (const int b = vocab.byte_value(id); b >= 0) byte_ids_[b] = id;
  for (int c = 0; c < 128; ++c) {
    const char text = static_cast<char>(c);
    const TokenId id = vocab.find({&text, 1});
    ascii_ids_[c] = id != kNoToken && vocab.is_plain(id) ? id : kNoToken;
  }
  add_merges(data);
}

// Every way to put a token together from two others is a merge. Its rank is the place of the score,
// shared by equal scores: among those the leftmost in the text comes first, as in SentencePiece.
void SpmEncoder::add_merges(const VocabData& data) {
  std::vector<TokenId> by_score;
  for (TokenId id = 0; id < static_cast<TokenId>(vocab_.size()); ++id)
    if (vocab_.is_plain(id) && vocab_.text(id).size() <= kMaxMergedBytes) by_score.push_back(id);
  std::stable_sort(by_score.begin(), by_score.end(),
                   [&](TokenId a, TokenId b) { return data.scores[a] > data.scores[b]; });
  const auto find_plain = [&](std::string_view text) {
    const TokenId id = vocab_.find(text);
    return id != kNoToken && vocab_.is_plain(id) ? id : kNoToken;
  };
  uint32_t rank = 0;
  for (size_t i = 0; i < by_score.size(); ++i) {
    const TokenId id = by_score[i];
    if (i > 0 && data.scores[id] != data.scores[by_score[i - 1]]) rank = static_cast<uint32_t>(i);
    const std::string_view text = vocab_.text(id);
    for (size_t at = 1; at < text.size(); ++at) {
      if ((text[at] & 0xC0) == 0x80) continue;  // within a character
      if (text.substr(at).starts_with(kSpaceMark)) before_space_.set(static_cast<uint8_t>(text[at - 1]));
      const TokenId left = find_plain(text.substr(0, at));
      if (left == kNoToken) continue;
      if (const TokenId right = find_plain(text.substr(at)); right != kNoToken)
        merges_.add(left, right, {rank, id});
    }
  }
}

// Whether no token reaches over this place, so that what lies on either side merges by itself. Most
// vocabularies have no token with a space after anything but a space: their words are independent.
bool SpmEncoder::is_cut(std::string_view escaped, size_t at) const noexcept {
  return escaped.substr(at).starts_with(kSpaceMark) && !before_space_[static_cast<uint8_t>(escaped[at - 1])];
}

void SpmEncoder::push_symbols(std::string_view word, Merger& merger) const {
  while (!word.empty()) {
    const utf8::Sequence s = utf8::next(word);
    const std::string_view character = word.substr(0, s.size);
    word.remove_prefix(s.size);
    TokenId id = kNoToken;
    if (s.kind == utf8::Kind::kValid) {
      id = s.size == 1 ? ascii_ids_[s.code_point] : vocab_.find(character);
      if (id != kNoToken && !vocab_.is_plain(id)) id = kNoToken;
    }
    if (id != kNoToken) {
      merger.push(id);
      continue;
    }
    const auto byte_id = [&](char c) { return byte_ids_[static_cast<uint8_t>(c)]; };
    if (std::all_of(character.begin(), character.end(), [&](char c) { return byte_id(c) != kNoToken; })) {
      for (const char c : character) merger.push(byte_id(c));
    } else if (unk_ != kNoToken && merger.last() != unk_) {
      merger.push(unk_);  // one for a run of what cannot be expressed
    }
  }
}

void SpmEncoder::encode(std::span<const Segment> segments, std::vector<TokenId>& out) const {
  Merger merger(merges_);
  WordCache cache(segments);
  std::deque<std::string> escaped_texts;  // owns what the cache refers to
  const auto encode_word = [&](std::string_view word) {
    push_symbols(word, merger);
    merger.finish(out);
  };
  bool after_special = true;  // the beginning counts
  for (const Segment& segment : segments) {
    if (segment.token != kNoToken) {
      out.push_back(segment.token);
      after_special = true;
      continue;
    }
    std::string& escaped = escaped_texts.emplace_back();
    escaped.reserve(segment.text.size() + segment.text.size() / 2);
    if (add_space_prefix_ && after_special) escaped += kSpaceMark;
    for (const char c : segment.text) {
      if (c == ' ')
        escaped += kSpaceMark;
      else
        escaped += c;
    }
    after_special = false;
    const std::string_view text = escaped;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = begin + 1;
      while (end < text.size() && !is_cut(text, end)) ++end;
      cache.append(text.substr(begin, end - begin), out, encode_word);
      begin = end;
    }
  }
}

}  // namespace moraine
