// Whether a draft model speaks of the same tokens as the model it drafts for, and which of them it may draft.
// From the vocabularies of both headers, before anything large is read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/vocab_data.h"

namespace moraine::engine {

struct DraftVocabulary {
  std::vector<uint32_t> allowed;   // bit t % 32 of word t / 32: id t is the same token in both
  std::vector<std::string> notes;  // one sentence each: what is never drafted
};

// Ids of normal tokens must stand for the same text. Where special or unused ones differ, or one file has
// more, those are never drafted. Throws Error{kInvalidArgument} where more than 1% of the normal tokens
// differ, naming the first.
DraftVocabulary match_vocabularies(const VocabData& model, const VocabData& draft,
                                   const std::string& draft_name);

}  // namespace moraine::engine
