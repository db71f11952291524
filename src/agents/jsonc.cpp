#include "agents/jsonc.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <cstdint>

namespace moraine::agents::jsonc {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    if (text.size() > kMaxBytes)
      throw Error(
          ErrorCode::kInvalidArgument,
          fmt::format("The file has {} bytes; settings of up to {} are read.", text.size(), kMaxBytes));
    if (text.starts_with("\xEF\xBB\xBF")) at_ = 3;
  }

  Value document() {
    skip();
    if (at_ == text_.size()) return {.kind = Kind::kObject, .begin = at_, .end = at_};
    Value v = value(0);
    skip();
    if (at_ < text_.size()) fail("nothing may follow the value");
    return v;
  }

 private:
  [[noreturn]] void fail(const char* what) const {
    const std::string_view before = text_.substr(0, at_);
    const size_t line_begin = before.find_last_of('\n') + 1;  // npos + 1 == 0
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("Line {}, column {}: {}.", std::count(before.begin(), before.end(), '\n') + 1,
                            at_ - line_begin + 1, what));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip() {  // spaces and comments
    while (at_ < text_.size()) {
      if (is_space(text_[at_])) {
        ++at_;
      } else if (text_.substr(at_, 2) == "//") {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (text_.substr(at_, 2) == "/*") {
        const size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) fail("this comment does not end");
        at_ = end + 2;
      } else {
        return;
      }
    }
  }

  Value value(int depth) {
    if (depth > kMaxDepth) fail("values are nested too deeply");
    Value v;
    v.begin = at_;
    if (peek() == '{' || peek() == '[') {
      v.kind = peek() == '{' ? Kind::kObject : Kind::kArray;
      members(v, depth);
    } else if (peek() == '"') {
      v.kind = Kind::kString;
      v.text = string();
    } else {
      while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || peek() == '-' ||
                                    peek() == '+' || peek() == '.'))
        ++at_;
      v.text = text_.substr(v.begin, at_ - v.begin);
      if (v.text.empty()) fail("a value is expected here");
      const bool literal = v.text == "true" || v.text == "false" || v.text == "null";
      if (!literal && v.text[0] != '-' && (v.text[0] < '0' || v.text[0] > '9')) {
        at_ = v.begin;
        fail("a value is expected here");
      }
      v.kind = literal ? Kind::kLiteral : Kind::kNumber;
    }
    v.end = at_;
    return v;
  }

  void members(Value& v, int depth) {
    const bool object = v.kind == Kind::kObject;
    const char close = object ? '}' : ']';
    ++at_;
    while (true) {
      skip();
      if (peek() == close) break;
      Value::Member member;
      member.begin = at_;
      if (object) {
        if (peek() != '"') fail("a name in double quotes, or }, is expected here");
        member.name = string();
        skip();
        if (peek() != ':') fail("a colon is expected here");
        ++at_;
        skip();
      }
      member.value.push_back(value(depth + 1));
      v.members.push_back(std::move(member));
      skip();
      if (peek() == ',')
        ++at_;
      else if (peek() != close)
        fail(object ? "a comma or } is expected here" : "a comma or ] is expected here");
    }
    ++at_;
  }

  uint32_t hex4() {
    if (text_.size() - at_ < 4) fail("this escape does not end");
    uint32_t c = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char h = text_[at_];
      if (!std::isxdigit(static_cast<unsigned char>(h))) fail("a hexadecimal digit is expected here");
      c = c * 16 + static_cast<uint32_t>(h <= '9' ? h - '0' : (h | 0x20) - 'a' + 10);
    }
    return c;
  }

  std::string string() {
    std::string out;
    for (++at_; peek() != '"';) {
      const char c = peek();
      if (at_ >= text_.size() || c == '\n') fail("this text does not end");
      ++at_;
      if (c != '\\') {
        out += c;
        continue;
      }
      const char e = peek();
      ++at_;
      constexpr std::string_view kShort = "\"\\/bfnrt", kMeaning = "\"\\/\b\f\n\r\t";
      if (const size_t i = kShort.find(e); i != std::string_view::npos) {
        out += kMeaning[i];
      } else if (e == 'u') {
        uint32_t c1 = hex4();
        if (c1 >= 0xD800 && c1 < 0xDC00 && text_.substr(at_, 2) == "\\u") {
          const size_t back = at_;
          at_ += 2;
          const uint32_t c2 = hex4();
          if (c2 >= 0xDC00 && c2 < 0xE000)
            c1 = 0x10000 + ((c1 - 0xD800) << 10) + (c2 - 0xDC00);
          else
            at_ = back;
        }
        append_utf8(out, c1 >= 0xD800 && c1 < 0xE000 ? 0xFFFD : c1);
      } else {
        --at_;
        fail("no such escape");
      }
    }
    ++at_;
    return out;
  }

  std::string_view text_;
  size_t at_ = 0;
};

const Value* step_into(const Value& v, const Step& step) {
  if (const auto* name = std::get_if<std::string>(&step))
    return v.kind == Kind::kObject ? v.find(*name) : nullptr;
  const size_t index = std::get<size_t>(step);
  return v.kind == Kind::kArray && index < v.members.size() ? &v.members[index].value[0] : nullptr;
}

std::string path_text(const Path& path, size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) {
    const auto* name = std::get_if<std::string>(&path[i]);
    text += (text.empty() ? "" : ".") + (name ? *name : std::to_string(std::get<size_t>(path[i])));
  }
  return text.empty() ? "the whole" : text;
}

// How the file is laid out: what new lines are made of.
struct Layout {
  std::string newline = "\n", unit = "  ";
};

std::string indent_of_line(std::string_view text, size_t at) {
  const size_t begin = at == 0 ? 0 : text.find_last_of('\n', at - 1) + 1;
  size_t end = begin;
  while (end < text.size() && (text[end] == ' ' || text[end] == '\t')) ++end;
  return std::string(text.substr(begin, end - begin));
}

bool has_line_end(std::string_view text) { return text.find('\n') != std::string_view::npos; }

Layout layout_of(std::string_view text, const Value& root) {
  Layout layout;
  if (text.find("\r\n") != std::string_view::npos) layout.newline = "\r\n";
  if (!root.members.empty() && has_line_end(text.substr(root.begin, root.members[0].begin - root.begin)))
    if (std::string indent = indent_of_line(text, root.members[0].begin); !indent.empty())
      layout.unit = indent;
  return layout;
}

// {"a": {"b": json}} for the steps from `first` on, as lines indented by `indent`, or in one line.
std::string nested(const Path& path, size_t first, std::string_view json, const Layout& l,
                   const std::string& indent, bool inline_) {
  if (first == path.size()) return std::string(json);
  const auto* name = std::get_if<std::string>(&path[first]);
  const std::string inner_indent = indent + l.unit;
  const std::string inner =
      (name ? quote(*name) + ": " : "") + nested(path, first + 1, json, l, inner_indent, inline_);
  const char* braces = name ? "{}" : "[]";
  if (inline_) return braces[0] + inner + braces[1];
  return braces[0] + l.newline + inner_indent + inner + l.newline + indent + braces[1];
}

// Behind a last member: its comma, if it has one, and a comment in the rest of its line.
struct Tail {
  size_t comma = std::string_view::npos, end = 0;
};
Tail tail_of(std::string_view text, size_t value_end, size_t close) {
  Tail tail;
  tail.end = value_end;
  for (size_t at = value_end; at < close;) {
    if (text[at] == ',' && tail.comma == std::string_view::npos) {
      tail.comma = at;
      tail.end = ++at;
    } else if (text[at] == '\n') {
      // A comma may yet stand on a line of its own.
      if (tail.comma != std::string_view::npos) break;
      size_t next = at;
      while (next < close && is_space(text[next])) ++next;
      if (text[next] != ',') break;
      at = next;
    } else if (text.substr(at, 2) == "//") {
      at = std::min(text.find('\n', at), close);
      tail.end = at > value_end && text[at - 1] == '\r' ? at - 1 : at;
    } else if (text.substr(at, 2) == "/*") {
      at = std::min(text.find("*/", at + 2) + 2, close);
      tail.end = at;
    } else {
      ++at;
    }
  }
  return tail;
}

std::string insert_member(std::string_view text, const Value& parent, const std::string& member_text_inline,
                          const std::string& member_text, const Layout& l, bool inline_,
                          const std::string& indent) {
  const size_t close = parent.end - 1;
  std::string out;
  if (parent.members.empty()) {
    // Comments inside stay where they are.
    size_t content_end = close;
    while (is_space(text[content_end - 1])) --content_end;
    const bool bare = content_end == parent.begin + 1;
    if (inline_ && bare)
      return out.append(text.substr(0, content_end)).append(member_text_inline).append(text.substr(close));
    return out.append(text.substr(0, content_end))
        .append(l.newline + indent + l.unit + member_text + l.newline + indent)
        .append(text.substr(close));
  }
  const size_t value_end = parent.members.back().value[0].end;
  const Tail tail = tail_of(text, value_end, close);
  const bool had_comma = tail.comma != std::string_view::npos;
  out = text.substr(0, value_end);
  if (!had_comma) out += ',';
  out += text.substr(value_end, tail.end - value_end);
  if (inline_)
    out += ' ' + member_text_inline;
  else
    out += l.newline + indent_of_line(text, parent.members.back().begin) + member_text;
  if (had_comma) out += ',';
  return out.append(text.substr(tail.end));
}

}  // namespace

const Value* Value::find(std::string_view name) const {
  for (auto it = members.rbegin(); it != members.rend(); ++it)
    if (kind == Kind::kObject && it->name == name) return &it->value[0];
  return nullptr;
}

const Value* Value::find(const Path& path) const {
  const Value* v = this;
  for (const Step& step : path)
    if (v = step_into(*v, step); v == nullptr) return nullptr;
  return v;
}

std::string Value::string_at(const Path& path) const {
  const Value* v = find(path);
  return v && v->kind == Kind::kString ? v->text : "";
}

Value parse(std::string_view text) { return Parser(text).document(); }

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + '"';
}

bool same_but_for_layout(std::string_view a, std::string_view b) {
  const auto bare = [](std::string_view text) {
    std::string out;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (in_string && c == '\\' && i + 1 < text.size()) {
        out.append(text.substr(i++, 2));
        continue;
      }
      if (c == '"') in_string = !in_string;
      if (in_string || (!is_space(c) && c != ',')) out += c;
    }
    return out;
  };
  return bare(a) == bare(b);
}

std::string set(std::string_view text, const Path& path, std::string_view json) {
  const Value root = parse(text);
  if (root.begin == root.end) {  // an empty file: an object comes to its end
    std::string whole(text);
    if (!whole.empty() && whole.back() != '\n') whole += '\n';
    return set(whole + "{}\n", path, json);
  }
  const Layout layout = layout_of(text, root);
  const Value* v = &root;
  size_t depth = 0;
  for (; depth < path.size(); ++depth) {
    const Value* next = step_into(*v, path[depth]);
    if (next == nullptr) break;
    v = next;
  }
  std::string out(text);
  if (depth == path.size()) {  // it is there: another value in its place
    if (same_but_for_layout(text.substr(v->begin, v->end - v->begin), json)) return out;
    return out.replace(v->begin, v->end - v->begin, json);
  }
  const auto* name = std::get_if<std::string>(&path[depth]);
  if (v->kind != (name ? Kind::kObject : Kind::kArray) ||
      (!name && std::get<size_t>(path[depth]) != v->members.size()))
    throw Error(ErrorCode::kInvalidArgument,
                fmt::format("{} is no {} there.", path_text(path, depth), name ? "object" : "list"));
  // A value that stands in one line stays in one; an empty one follows its surroundings.
  const std::string_view own = text.substr(v->begin, v->end - v->begin);
  const bool inline_ = v->members.empty()
                           ? depth > 0 && !has_line_end(text.substr(root.begin, root.end - root.begin))
                           : !has_line_end(own);
  const std::string indent = indent_of_line(text, v->begin);
  const std::string inner_indent =
      v->members.empty() ? indent + layout.unit : indent_of_line(text, v->members.back().begin);
  const std::string before = name ? quote(*name) + ": " : "";
  return insert_member(text, *v, before + nested(path, depth + 1, json, layout, inner_indent, true),
                       before + nested(path, depth + 1, json, layout, inner_indent, false), layout, inline_,
                       indent);
}

std::string set_if_absent(std::string_view text, const Path& path, std::string_view json) {
  return parse(text).find(path) ? std::string(text) : set(text, path, json);
}

std::string without(std::string_view text, const Path& path) {
  const Value root = parse(text);
  std::string out(text);
  if (path.empty()) return out;
  const Value* parent = root.find(Path(path.begin(), path.end() - 1));
  const Value* target = root.find(path);
  if (parent == nullptr || target == nullptr) return out;
  size_t index = 0;
  while (&parent->members[index].value[0] != target) ++index;
  const size_t close = parent->end - 1;
  const bool last = index + 1 == parent->members.size();
  size_t begin = parent->members[index].begin, end = target->end;
  const Tail tail = tail_of(text, end, last ? close : parent->members[index + 1].begin);
  const bool has_comma = tail.comma != std::string_view::npos;
  if (has_comma) end = tail.comma + 1;
  // Its line goes with it, where nothing else stands there.
  size_t line = begin;
  while (line > 0 && (text[line - 1] == ' ' || text[line - 1] == '\t')) --line;
  size_t rest = end;
  while (rest < text.size() && (text[rest] == ' ' || text[rest] == '\t' || text[rest] == '\r')) ++rest;
  const bool own_line = line > 0 && text[line - 1] == '\n' && rest < text.size() && text[rest] == '\n';
  if (own_line) {
    begin = line;
    end = rest + 1;
  } else if (!last) {
    while (end < text.size() && (text[end] == ' ' || text[end] == '\t')) ++end;
  }
  out.erase(begin, end - begin);
  // The one before lost its follower, and with it the need for a comma, unless the file likes them.
  if (last && index > 0 && !has_comma) {
    const size_t before_end = parent->members[index - 1].value[0].end;
    const Tail before = tail_of(text, before_end, parent->members[index].begin);
    if (before.comma != std::string_view::npos) {
      out.erase(before.comma, 1);
      if (!own_line)  // "1, " leaves a space
        while (before.comma < out.size() && (out[before.comma] == ' ' || out[before.comma] == '\t'))
          out.erase(before.comma, 1);
    }
  }
  return out;
}

}  // namespace moraine::agents::jsonc
