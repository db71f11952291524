#include "engine/draft_vocabulary.h"

#include <fmt/format.h>

#include <moraine/error.h>

#include <algorithm>

namespace moraine::engine {
namespace {

constexpr double kMostDiffering = 0.01;  // of the normal tokens
constexpr size_t kShownBytes = 40;

TokenType type_of(const VocabData& v, size_t id) {
  return id < v.types.size() ? static_cast<TokenType>(v.types[id]) : TokenType::kNormal;
}

bool is_normal(const VocabData& v, size_t id) {
  const TokenType type = type_of(v, id);
  return type == TokenType::kNormal || type == TokenType::kByte;
}

// A token's text, as far as it may stand in a message.
std::string shown(const std::string& text) {
  std::string s = text.substr(0, kShownBytes);
  for (char& c : s)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return "'" + s + (text.size() > kShownBytes ? "..." : "") + "'";
}

}  // namespace

DraftVocabulary match_vocabularies(const VocabData& model, const VocabData& draft, const std::string& name) {
  const size_t n = std::min(model.tokens.size(), draft.tokens.size());
  DraftVocabulary result;
  result.allowed.assign((draft.tokens.size() + 31) / 32, 0);
  size_t n_normal = 0, n_differing = 0, n_special = 0, first = 0;
  for (size_t id = 0; id < n; ++id) {
    const bool normal = is_normal(model, id);
    n_normal += normal;
    // A byte of one kind of file is a text of another: what it is called must agree too.
    const bool same = model.tokens[id] == draft.tokens[id] &&
                      (type_of(model, id) == type_of(draft, id) || normal == is_normal(draft, id));
    if (same && type_of(model, id) != TokenType::kUnused && type_of(model, id) != TokenType::kUnknown) {
      result.allowed[id / 32] |= 1u << id % 32;
    } else if (same) {  // nobody draws them
    } else if (normal) {
      if (n_differing++ == 0) first = id;
    } else {
      ++n_special;
    }
  }
  if (n_normal == 0 || static_cast<double>(n_differing) > kMostDiffering * static_cast<double>(n_normal))
    throw Error(
        ErrorCode::kInvalidArgument,
        n_normal == 0
            ? fmt::format("{} cannot draft for this model: they have no tokens in common.", name)
            : fmt::format(
                  "{} cannot draft for this model: their vocabularies differ. {} of {} tokens are "
                  "others; the first is {}, which is {} in the draft and {} in the model. Take a draft "
                  "of the same family, or leave -md away.",
                  name, n_differing, n_normal, first, shown(draft.tokens[first]),
                  shown(model.tokens[first])));
  if (n_differing > 0)
    result.notes.push_back(
        fmt::format("{} normal tokens differ between {} and the model, the first is {} ({} and {}): they are "
                    "never drafted.",
                    n_differing, name, first, shown(draft.tokens[first]), shown(model.tokens[first])));
  if (n_special > 0)
    result.notes.push_back(
        fmt::format("{} special or unused tokens differ between {} and the model: they are never drafted.",
                    n_special, name));
  if (model.tokens.size() != draft.tokens.size())
    result.notes.push_back(
        fmt::format("{} has {} tokens and the model {}: those that only one has are never "
                    "drafted.",
                    name, draft.tokens.size(), model.tokens.size()));
  return result;
}

}  // namespace moraine::engine
