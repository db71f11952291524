#include "server/api/history.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace moraine::server {
namespace {

// How much longer a turn may be as its template writes it: "\u00e9" for two bytes, spaces, tags.
constexpr std::size_t kMostGrowth = 4, kMostMarkup = 4096;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

using UnorderedJson = nlohmann::json;  // the order of an object's members tells nothing

UnorderedJson parsed(std::string_view text) {
  return UnorderedJson::parse(text, nullptr, /*allow_exceptions=*/false);
}

const UnorderedJson* member(const UnorderedJson* object, const char* name) {
  if (object == nullptr || !object->is_object()) return nullptr;
  const auto it = object->find(name);
  return it != object->end() ? &*it : nullptr;
}

// Calls that say the same. Tools are looked at only where something was filled in.
class CallComparison {
 public:
  explicit CallComparison(std::string_view tools_json) : tools_json_(tools_json) {}

  bool same(const std::vector<chat::ToolCall>& generated, const std::vector<chat::ToolCall>& echoed) {
    return std::equal(generated.begin(), generated.end(), echoed.begin(), echoed.end(),
                      [&](const auto& a, const auto& b) {
                        return a.id == b.id && a.name == b.name && same_arguments(a, b);
                      });
  }

 private:
  bool same_arguments(const chat::ToolCall& generated, const chat::ToolCall& echoed) {
    if (generated.arguments == echoed.arguments) return true;
    const UnorderedJson a = parsed(generated.arguments);
    UnorderedJson b = parsed(echoed.arguments);
    if (a == b) return !a.is_discarded();  // 1.0 is 1, which is how JavaScript's clients write it
    if (!a.is_object() || !b.is_object()) return false;
    const UnorderedJson* properties = properties_of(echoed.name);
    for (auto it = b.begin(); it != b.end();) {
      const UnorderedJson* normal = member(member(properties, it.key().c_str()), "default");
      const bool filled_in = !a.contains(it.key()) && normal != nullptr && *normal == it.value();
      it = filled_in ? b.erase(it) : std::next(it);
    }
    return a == b;
  }

  const UnorderedJson* properties_of(const std::string& tool) {
    if (tools_.is_null()) tools_ = parsed(tools_json_);
    if (!tools_.is_array()) return nullptr;
    for (const UnorderedJson& item : tools_) {
      const UnorderedJson* function = member(&item, "function");
      const UnorderedJson* name = member(function, "name");
      if (name != nullptr && *name == tool) return member(member(function, "parameters"), "properties");
    }
    return nullptr;
  }

  const std::string_view tools_json_;
  UnorderedJson tools_;  // null: not parsed yet
};

enum class Likeness : uint8_t { kSame, kReasoningMissing, kOther };

class TurnComparison {
 public:
  TurnComparison(const TurnReader& reader, CallComparison& calls, std::string_view prompt)
      : reader_(reader), calls_(calls) {
    // One seed: ids that are not in the text are the same on both sides.
    options_.calls = reader.calls;
    options_.reasoning = chat::reasoning_start(reader.format, prompt, "");
  }

  Likeness of(std::string_view generated, std::string_view echoed) const {
    if (generated == echoed) return Likeness::kSame;
    const chat::ParsedMessage a = read(generated), b = read(echoed);
    if (trimmed(a.content) != trimmed(b.content) || !calls_.same(a.tool_calls, b.tool_calls))
      return Likeness::kOther;
    if (trimmed(a.reasoning) == trimmed(b.reasoning)) return Likeness::kSame;
    return trimmed(b.reasoning).empty() ? Likeness::kReasoningMissing : Likeness::kOther;
  }

 private:
  chat::ParsedMessage read(std::string_view text) const {
    const auto parser = chat::make_output_parser(reader_.format, reader_.tools, options_);
    return chat::parse_message(*parser, text, chat::TextEnd::kComplete);
  }

  const TurnReader& reader_;
  CallComparison& calls_;
  chat::ParserOptions options_;
};

// Where the turn that begins at `begin` ends: at the first token that ends turns. npos: not within `limit`.
std::size_t end_of_turn(const Tokenizer& tokenizer, std::string_view text, std::size_t begin,
                        std::size_t limit) {
  std::size_t end = std::string_view::npos;
  std::string_view rest = text.substr(begin, limit);
  for (const TokenId id : tokenizer.end_of_generation()) {
    // Only these are read as tokens of their own wherever they stand.
    if (!tokenizer.is_control(id) && tokenizer.type(id) != TokenType::kUserDefined) continue;
    const std::string_view mark = tokenizer.token_bytes(id);
    const std::size_t at = mark.empty() ? rest.npos : rest.find(mark);
    if (at == rest.npos) continue;
    end = begin + at;
    rest = rest.substr(0, at + mark.size() - 1);  // an earlier one?
  }
  return end;
}

// The tokens of an answer to be continued, `text`, that is a turn's beginning: the turn's first ones, and
// what is left of the text where they end. Empty: it is another text.
std::vector<TokenId> continued(const Tokenizer& tokenizer, const chat::OutputFormat& format,
                               const GeneratedTurn& turn, std::string_view text) {
  const auto& markers = format.markers;
  std::vector<TokenId> tokens;
  for (const TokenId id : turn.tokens) {
    std::string_view piece = tokenizer.token_bytes(id);
    if (tokenizer.is_control(id) && std::find(markers.begin(), markers.end(), piece) == markers.end())
      piece = {};
    if (!text.starts_with(piece)) {
      if (!piece.starts_with(text)) return {};
      break;
    }
    tokens.push_back(id);
    text.remove_prefix(piece.size());
  }
  const auto rest = tokenizer.encode(text, {.add_special = false, .parse_special = true});
  // A space that a vocabulary puts before every text would stand in the midst of this one.
  if (tokenizer.decode(rest, {.show_control = true, .text_start = false}) != text) return {};
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  return tokens;
}

}  // namespace

HistoryTokens encode_history(const Tokenizer& tokenizer, TurnStore& turns, uint64_t scope,
                             std::string_view text, const TurnReader& reader) {
  HistoryTokens result;
  std::size_t at = 0;
  const auto encode_to = [&](std::size_t end) {
    const auto piece =
        tokenizer.encode(text.substr(at, end - at), {.add_special = at == 0, .parse_special = true});
    result.tokens.insert(result.tokens.end(), piece.begin(), piece.end());
    at = end;
  };
  // A token that ends every text would end every piece.
  const auto found = tokenizer.special().add_eos ? std::vector<TurnStore::Found>() : turns.find(scope, text);
  CallComparison calls(reader.tools_json);
  std::size_t placed = 0;  // where the last turn began
  for (const auto& [begin, turn] : found) {
    if (begin == placed || begin < at || begin == text.size() || turn->text.empty()) continue;
    const std::size_t limit = kMostGrowth * turn->text.size() + kMostMarkup;
    const std::size_t end = end_of_turn(tokenizer, text, begin, limit);
    if (end == text.npos) {
      if (text.size() - begin > limit) continue;
      const std::vector<TokenId> tokens = continued(tokenizer, reader.format, *turn, text.substr(begin));
      if (tokens.empty()) continue;
      encode_to(begin);
      result.tokens.insert(result.tokens.end(), tokens.begin(), tokens.end());
      return result;
    }
    const TurnComparison comparison(reader, calls, text.substr(0, begin));
    const Likeness likeness = comparison.of(turn->text, text.substr(begin, end - begin));
    result.reasoning_missing |= likeness == Likeness::kReasoningMissing;
    if (likeness != Likeness::kSame) continue;
    encode_to(begin);
    result.tokens.insert(result.tokens.end(), turn->tokens.begin(), turn->tokens.end());
    at = end;
    placed = begin;
  }
  encode_to(text.size());
  return result;
}

}  // namespace moraine::server
