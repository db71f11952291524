// A vocabulary as a model file holds it, before anything is checked. load.h fills one from GGUF
// metadata, tests write theirs by hand, vocab.cpp checks it. Plain data only.
#pragma once

#include <moraine/tokenizer.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace moraine {

struct VocabData {
  std::string model;                // "gpt2": byte-level BPE; "llama": SentencePiece BPE
  std::string pre;                  // pre-tokenizer of a gpt2 model; empty: "default"
  std::vector<std::string> tokens;  // the index is the id
  std::vector<std::int32_t> types;  // one for each token, or none: all normal
  std::vector<float> scores;        // llama: one for each token, higher merges first
  std::vector<std::string> merges;  // gpt2: "left right", earlier merges first

  std::optional<TokenId> bos, eos, eot, eom, unk, sep, pad, mask;
  std::optional<TokenId> fim_prefix, fim_suffix, fim_middle, fim_pad, fim_repo, fim_file_sep;
  std::optional<bool> add_bos, add_eos, add_space_prefix;  // missing: what the model kind does
};

}  // namespace moraine
