// Edits the tables of a TOML file that people keep, line by line: comments, order and everything that is not
// named stay as they are. Text in, text out. It sees headers ([a.b]) and plain keys below them; what else
// TOML can say (dotted keys, inline tables) it steps over unchanged, and Tables::opaque says whether a name
// hides there.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::agents::toml {

inline constexpr size_t kMaxBytes = 4 << 20;

// A key of one table and where its line stands in the text: bytes.
struct Entry {
  std::string key;
  std::string value;  // as written, without spaces around it and the comment behind it
  size_t line_begin = 0, value_begin = 0, value_end = 0, line_end = 0;  // line_end: behind the line end
};
struct Table {
  std::vector<std::string> name;  // of [a."b.c"]: a, b.c; empty for what stands before the first header
  bool is_array = false;          // [[a]]
  size_t begin = 0, end = 0;      // from its header to the next one
  size_t keys_end = 0;            // behind its last key, or its header
  std::vector<Entry> entries;

  const Entry* find(std::string_view key) const;
};
using Name = std::vector<std::string>;

// The first table is that of no name. Throws Error{kInvalidArgument} with the line, for what is no TOML.
std::vector<Table> parse(std::string_view text);
const Table* find(const std::vector<Table>& tables, const Name& name);

// Whether something of this name is defined in a way that lines cannot be added to: a dotted key, an inline
// table or an array.
bool is_opaque(const std::vector<Table>& tables, const Name& name);

// `text` with key = value (TOML) in table `name` (empty: before the first header); the table comes to the end
// where it is missing. Throws where is_opaque().
std::string set(std::string_view text, const Name& name, std::string_view key, std::string_view value);
// Without the key; without the table, where `key` is empty.
std::string without(std::string_view text, const Name& name, std::string_view key = {});

std::string quote(std::string_view text);     // a basic string
std::string unquote(std::string_view value);  // of a string on one line; "" for other values

}  // namespace moraine::agents::toml
