// Which token begins, ends and structures a text: from the ids the file gives and, where it gives
// none, from the texts that model families are known by. How they are found in a text: splitter.h.
#pragma once

#include <moraine/tokenizer.h>

#include <vector>

#include "tokenizer/vocab.h"

namespace moraine {

// Throws Error{kCorruptFile} for an id outside the vocabulary. add_bos and add_eos are as the file
// says, otherwise add_bos_default and false; never true without such a token. A well-known
// "<|...|>" that the file calls user-defined (a frequent slip of converters) becomes kControl.
SpecialTokens find_special_tokens(const VocabData& data, Vocab& vocab, bool add_bos_default);

// eos, eot, eom and every control token known to end an answer; ascending, no repeats.
std::vector<TokenId> find_end_of_generation(const SpecialTokens& special, const Vocab& vocab);

}  // namespace moraine
