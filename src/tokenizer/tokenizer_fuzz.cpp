// Any bytes, any options, both kinds of models: encoding must not fail, ids must be in range, and a
// text must come back byte by byte where the vocabulary has every byte and nothing is normalised.
// The bytes also act as token ids (decoding) and as a vocabulary (loading).
#include <moraine/error.h>

#include <cstring>

#include "base/check.h"
#include "tokenizer/testing.h"

using namespace moraine;

namespace {

struct Fixture {
  std::shared_ptr<const Tokenizer> tokenizer;
  bool exact;
};

const std::vector<Fixture>& fixtures() {
  static const std::vector<Fixture> all = {
      {Tokenizer::create(testing::tiny_bpe("smollm")), true},
      {Tokenizer::create(testing::tiny_bpe("llama-bpe")), true},
      {Tokenizer::create(testing::tiny_bpe("qwen2")), false},
      {Tokenizer::create(testing::tiny_spm()), false},  // a "▁" in the text comes back as a space
  };
  return all;
}

void round_trip(const Fixture& f, std::string_view text, EncodeOptions options) {
  const std::vector<TokenId> ids = f.tokenizer->encode(text, options);
  for (const TokenId id : ids) MORAINE_CHECK(f.tokenizer->contains(id));
  const std::string back = f.tokenizer->decode(ids, {.show_control = true});
  if (f.exact) MORAINE_CHECK(back == text);
  StreamDecoder decoder(f.tokenizer);
  for (const TokenId id : ids) {
    decoder.push(id);
    MORAINE_CHECK(decoder.pending_bytes() < 4);
  }
  decoder.flush();
}

// Lines are tokens ("t" + type), merges ("m") or scores; most are refused, none may crash.
void load(std::string_view bytes) {
  VocabData data = bytes.size() % 2 ? testing::tiny_bpe() : testing::tiny_spm();
  while (!bytes.empty()) {
    const std::string_view line = bytes.substr(0, bytes.find('\n'));
    bytes.remove_prefix(std::min(bytes.size(), line.size() + 1));
    if (line.size() >= 2 && line[0] == 't') {
      data.tokens.emplace_back(line.substr(2));
      data.types.push_back(line[1] - '0');
      data.scores.push_back(static_cast<float>(line.size()));
    } else if (!line.empty() && line[0] == 'm') {
      data.merges.emplace_back(line.substr(1));
    } else if (line.size() >= 5) {
      float score;
      std::memcpy(&score, line.data() + 1, sizeof score);
      data.scores[static_cast<uint8_t>(line[0])] = score;
    }
  }
  try {
    const auto tokenizer = Tokenizer::create(data);
    tokenizer->encode("hello <tool> world");
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] & 4) {
    load(text);
    return 0;
  }
  for (const Fixture& f : fixtures()) {
    round_trip(f, text, {.add_special = false, .parse_special = (data[0] & 1) != 0});
    std::vector<TokenId> ids(text.size() / sizeof(TokenId));
    std::memcpy(ids.data(), text.data(), ids.size() * sizeof(TokenId));
    for (const char c : text) ids.push_back(static_cast<uint8_t>(c) * 2);
    f.tokenizer->decode(ids, {.show_control = (data[0] & 2) != 0});
  }
  return 0;
}
