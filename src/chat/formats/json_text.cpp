#include "chat/formats/json_text.h"

#include <cstdint>
#include <cstdlib>

namespace moraine::chat {
namespace {

uint32_t hex4(std::string_view digits) {
  return static_cast<uint32_t>(std::strtoul(std::string(digits.substr(0, 4)).c_str(), nullptr, 16));
}

void append_utf8(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((c >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

// Past the value that begins at `at`: at the comma or closing bracket behind it.
size_t end_of_value(std::string_view json, size_t at) {
  int depth = 0;
  bool in_string = false;
  for (; at < json.size(); ++at) {
    const char c = json[at];
    if (in_string) {
      if (c == '\\')
        ++at;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth-- == 0) return at;
    } else if (c == ',' && depth == 0) {
      return at;
    }
  }
  return json.size();
}

}  // namespace

void append_escaped(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[(c >> 4) & 15];
          out += kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  append_escaped(out, text);
  return out += '"';
}

std::string unquoted(std::string_view json) {
  std::string out;
  if (json.size() < 2) return out;
  json = json.substr(1, json.size() - 2);
  for (size_t i = 0; i < json.size(); ++i) {
    if (json[i] != '\\' || i + 1 >= json.size()) {
      out += json[i];
      continue;
    }
    const char c = json[++i];
    if (c != 'u' || i + 4 >= json.size()) {
      out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
      continue;
    }
    uint32_t code = hex4(json.substr(i + 1));
    i += 4;
    // A pair: RelaxedJson lets no lone half through.
    if (code >= 0xD800 && code < 0xDC00 && i + 6 < json.size() && json[i + 1] == '\\') {
      code = 0x10000 + ((code - 0xD800) << 10) + (hex4(json.substr(i + 3)) - 0xDC00);
      i += 6;
    }
    append_utf8(out, code);
  }
  return out;
}

std::vector<std::pair<std::string_view, std::string_view>> members_of(std::string_view object) {
  std::vector<std::pair<std::string_view, std::string_view>> members;
  if (!object.starts_with('{')) return members;
  for (size_t at = 1; at < object.size() && object[at] == '"';) {
    size_t end = at + 1;
    while (end < object.size() && object[end] != '"') end += object[end] == '\\' ? 2 : 1;
    if (end + 1 >= object.size()) break;
    const size_t value = end + 2;  // behind the quote and the colon
    const size_t next = end_of_value(object, value);
    members.emplace_back(object.substr(at + 1, end - at - 1), object.substr(value, next - value));
    at = next + 1;
  }
  return members;
}

std::vector<std::string_view> elements_of(std::string_view array) {
  std::vector<std::string_view> elements;
  if (!array.starts_with('[') || array.starts_with("[]")) return elements;
  for (size_t at = 1; at < array.size();) {
    const size_t next = end_of_value(array, at);
    elements.push_back(array.substr(at, next - at));
    at = next + 1;
  }
  return elements;
}

}  // namespace moraine::chat
