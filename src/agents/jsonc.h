// Edits a JSON file that people keep: comments, trailing commas, order, indentation and line ends stay; only
// the values named change. Text in, text out. Knows no client: see clients.h. Source of the dialect:
// what editors call "JSON with comments" (// and /* */ comments, trailing commas).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace moraine::agents::jsonc {

inline constexpr size_t kMaxBytes = 4 << 20;
inline constexpr int kMaxDepth = 64;

// A member's name, or an element's index.
using Step = std::variant<std::string, size_t>;
using Path = std::vector<Step>;

enum class Kind { kObject, kArray, kString, kNumber, kLiteral };

// A value and where it stands in the text: [begin, end) bytes.
struct Value {
  struct Member {
    std::string name;          // decoded; empty in an array
    size_t begin = 0;          // of the member: its name's quote, or the value
    std::vector<Value> value;  // exactly one
  };
  Kind kind = Kind::kLiteral;
  size_t begin = 0, end = 0;
  std::string text;  // of a string: decoded; else as written. Empty for objects and arrays
  std::vector<Member> members;

  const Value* find(std::string_view name) const;  // the last of that name, as parsers have it
  const Value* find(const Path& path) const;
  // The string at a path below this value; "" where there is none.
  std::string string_at(const Path& path) const;
};

// Throws Error{kInvalidArgument} with line and column. An empty text, or comments alone, is an empty object.
Value parse(std::string_view text);

// `text` with `json` (one JSON value, written without line ends) at `path`; objects on the way are made. An
// index may be one past an array's end. What is there already and equal is left as it is written. Throws
// Error{kInvalidArgument} where a value on the way is no object or array.
std::string set(std::string_view text, const Path& path, std::string_view json);

// As set(), unless something is there already.
std::string set_if_absent(std::string_view text, const Path& path, std::string_view json);

// Without the member or element at `path`; `text` itself where there is none.
std::string without(std::string_view text, const Path& path);

// "text" as a JSON string.
std::string quote(std::string_view text);

// Whether two texts say the same but for spaces and commas: comments count.
bool same_but_for_layout(std::string_view a, std::string_view b);

}  // namespace moraine::agents::jsonc
