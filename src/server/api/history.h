// A prompt's text as tokens, with the turns in it that this server generated as the very tokens they were
// generated as. A client echoes an answer's meaning: its template spells calls and spaces its own way, and
// even the same text may be other tokens than the model drew. Both would part the prompt from what the cache
// holds. Owns how a turn is found in a prompt and when it is the same; what was generated is turn_store.h.
#pragma once

#include <moraine/tokenizer.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/output_format.h"
#include "server/api/turn_store.h"

namespace moraine::server {

// How turns of a request are read: as its answer would be.
struct TurnReader {
  const chat::OutputFormat& format;
  std::shared_ptr<const chat::ToolTypes> tools;
  bool calls = false;           // tools are offered
  std::string_view tools_json;  // those, as the template shows them; empty: none
};

struct HistoryTokens {
  std::vector<TokenId> tokens;
  bool reasoning_missing = false;  // a turn is there without the reasoning it was generated with
};

// `text`: a prompt as its template rendered it. A turn stands as it was generated where the text before it is
// the text of the prompt it was generated from, and where it says the same: the same content but for white
// space around it, the same reasoning, the same calls with arguments of equal values, where a client may have
// filled in what the tool's schema says is the default. Anything else stays as the template wrote it.
HistoryTokens encode_history(const Tokenizer& tokenizer, TurnStore& turns, uint64_t scope,
                             std::string_view text, const TurnReader& reader);

}  // namespace moraine::server
