#include "agents/toml.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <optional>

namespace moraine::agents::toml {
namespace {

bool is_bare(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    if (text.size() > kMaxBytes)
      throw Error(
          ErrorCode::kInvalidArgument,
          fmt::format("The file has {} bytes; settings of up to {} are read.", text.size(), kMaxBytes));
    if (text.starts_with("\xEF\xBB\xBF")) at_ = 3;
  }

  std::vector<Table> document() {
    std::vector<Table> tables(1);
    tables[0].begin = tables[0].keys_end = at_;
    while (at_ < text_.size()) {
      const size_t line_begin = at_;
      blanks();
      if (peek() == '[') {
        tables.back().end = line_begin;
        tables.push_back(header(line_begin));
      } else if (peek() != '#' && peek() != '\n' && at_ < text_.size()) {
        entry(tables.back(), line_begin);
      } else {
        to_line_end();
      }
    }
    tables.back().end = text_.size();
    return tables;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    const std::string_view before = text_.substr(0, at_);
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("Line {}: {}.", std::count(before.begin(), before.end(), '\n') + 1, what));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void blanks() {
    while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
  }
  void to_line_end() { at_ = std::min(text_.find('\n', at_), text_.size() - 1) + 1; }
  void end_line() {  // nothing but a comment may follow
    blanks();
    if (at_ < text_.size() && peek() != '#' && peek() != '\n') fail("the line goes on where it should end");
    if (at_ < text_.size()) to_line_end();
  }

  // a."b c".d
  Name key() {
    Name name;
    while (true) {
      blanks();
      const size_t begin = at_;
      if (peek() == '"' || peek() == '\'') {
        string();
        name.push_back(unquote(text_.substr(begin, at_ - begin)));
      } else {
        while (at_ < text_.size() && is_bare(text_[at_])) ++at_;
        if (at_ == begin) fail("a name is expected here");
        name.emplace_back(text_.substr(begin, at_ - begin));
      }
      blanks();
      if (peek() != '.') return name;
      ++at_;
    }
  }

  Table header(size_t line_begin) {
    Table t;
    t.begin = line_begin;
    t.is_array = text_.substr(at_, 2) == "[[";
    at_ += t.is_array ? 2 : 1;
    t.name = key();
    for (int i = t.is_array ? 2 : 1; i > 0; --i, ++at_)
      if (peek() != ']') fail("a ] is expected here");
    end_line();
    t.keys_end = at_;
    return t;
  }

  void entry(Table& table, size_t line_begin) {
    Entry e;
    e.line_begin = line_begin;
    const Name name = key();
    // A dotted key is kept under its whole name, with what no name may hold between.
    for (const std::string& part : name) e.key += (e.key.empty() ? "" : "\n") + part;
    if (peek() != '=') fail("an = is expected here");
    ++at_;
    blanks();
    e.value_begin = at_;
    value();
    e.value_end = at_;
    e.value = text_.substr(e.value_begin, e.value_end - e.value_begin);
    end_line();
    e.line_end = table.keys_end = at_;
    table.entries.push_back(std::move(e));
  }

  void string() {
    const char q = peek();
    const std::string three(3, q);
    if (text_.substr(at_, 3) == three) {
      for (at_ += 3;; ++at_) {
        if (at_ >= text_.size()) fail("this text does not end");
        if (q == '"' && text_[at_] == '\\')
          ++at_;
        else if (text_.substr(at_, 3) == three)
          break;
      }
      at_ += 3;
      while (peek() == q) ++at_;  // up to two quotes may stand before the three
      return;
    }
    for (++at_; peek() != q; ++at_) {
      if (at_ >= text_.size() || text_[at_] == '\n') fail("this text does not end");
      if (q == '"' && text_[at_] == '\\') ++at_;
    }
    ++at_;
  }

  void value() {
    const size_t begin = at_;
    int depth = 0;
    for (; at_ < text_.size();) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        string();
        continue;
      }
      if (c == '[' || c == '{') ++depth;
      if ((c == ']' || c == '}') && --depth < 0) fail("a bracket closes what was not opened");
      if (depth == 0 && (c == '\n' || c == '#')) break;
      if (c == '#') {
        to_line_end();
        continue;
      }
      ++at_;
    }
    if (depth > 0) fail("a bracket is not closed");
    while (at_ > begin && is_blank(text_[at_ - 1])) --at_;
    if (at_ == begin) fail("a value is expected here");
  }

  std::string_view text_;
  size_t at_ = 0;
};

bool starts_with(const Name& name, const Name& beginning) {
  return name.size() >= beginning.size() && std::equal(beginning.begin(), beginning.end(), name.begin());
}

std::string written(const Name& name) {
  std::string text;
  for (const std::string& part : name) {
    const bool bare = !part.empty() && std::all_of(part.begin(), part.end(), is_bare);
    text += (text.empty() ? "" : ".") + (bare ? part : quote(part));
  }
  return text;
}

}  // namespace

const Entry* Table::find(std::string_view key) const {
  for (const Entry& e : entries)
    if (e.key == key) return &e;
  return nullptr;
}

std::vector<Table> parse(std::string_view text) { return Parser(text).document(); }

const Table* find(const std::vector<Table>& tables, const Name& name) {
  for (const Table& t : tables)
    if (t.name == name && !t.is_array) return &t;
  return nullptr;
}

bool is_opaque(const std::vector<Table>& tables, const Name& name) {
  for (const Table& t : tables) {
    if (t.is_array && starts_with(name, t.name)) return true;
    if (t.name == name) continue;  // its own keys may be set
    for (const Entry& e : t.entries) {
      Name whole = t.name;
      for (size_t at = 0; at != std::string::npos;) {
        const size_t dot = e.key.find('\n', at);
        whole.push_back(e.key.substr(at, dot == std::string::npos ? dot : dot - at));
        at = dot == std::string::npos ? dot : dot + 1;
      }
      if (starts_with(whole, name) || starts_with(name, whole)) return true;
    }
  }
  return false;
}

std::string set(std::string_view text, const Name& name, std::string_view key, std::string_view value) {
  const std::vector<Table> tables = parse(text);
  if (!name.empty() && is_opaque(tables, name))
    throw Error(
        ErrorCode::kInvalidArgument,
        fmt::format("{} is written there in a form that is not edited (dotted keys, an inline table or a "
                    "list); write it as a table, [{}].",
                    written(name), written(name)));
  const std::string newline = text.find("\r\n") != std::string_view::npos ? "\r\n" : "\n";
  const std::string line = fmt::format("{} = {}{}", written({std::string(key)}), value, newline);
  std::string out(text);
  const Table* table = find(tables, name);
  if (table == nullptr) {
    if (!out.empty() && out.back() != '\n') out += newline;
    if (!out.empty()) out += newline;
    return out + fmt::format("[{}]{}{}", written(name), newline, line);
  }
  if (const Entry* e = table->find(key))
    return out.replace(e->value_begin, e->value_end - e->value_begin, value);
  // Before the first header new keys come first where there is none yet, but behind comments.
  size_t at = table->keys_end;
  if (name.empty() && table->entries.empty()) at = table->begin;
  const bool cut_line = at > 0 && out[at - 1] != '\n' && !(at == 3 && out.starts_with("\xEF\xBB\xBF"));
  std::string inserted = (cut_line ? newline : "") + line;
  if (name.empty() && table->entries.empty() && at < out.size() && out[at] != '\n' && out[at] != '\r')
    inserted += newline;
  return out.insert(at, inserted);
}

std::string without(std::string_view text, const Name& name, std::string_view key) {
  const std::vector<Table> tables = parse(text);
  std::string out(text);
  const Table* table = find(tables, name);
  if (table == nullptr) return out;
  if (!key.empty()) {
    if (const Entry* e = table->find(key)) out.erase(e->line_begin, e->line_end - e->line_begin);
    return out;
  }
  if (name.empty()) return out;
  // With the empty line before it; comments behind its last key may belong to the next table.
  size_t begin = table->begin;
  const size_t end = table->keys_end;
  if (begin >= 2 && out[begin - 1] == '\n' && out[begin - 2] == '\n')
    --begin;
  else if (begin >= 4 && out.compare(begin - 4, 4, "\r\n\r\n") == 0)
    begin -= 2;
  return out.erase(begin, end - begin);
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

std::string unquote(std::string_view v) {
  if (v.size() < 2 || v.front() != v.back() || (v.front() != '"' && v.front() != '\'')) return "";
  const std::string_view inside = v.substr(1, v.size() - 2);
  if (v.front() == '\'') return std::string(inside);
  std::string out;
  for (size_t i = 0; i < inside.size(); ++i) {
    if (inside[i] == '\\' && i + 1 < inside.size()) ++i;  // names and addresses have no other escapes
    out += inside[i];
  }
  return out;
}

}  // namespace moraine::agents::toml
