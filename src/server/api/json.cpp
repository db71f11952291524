#include "server/api/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "server/api/errors.h"

namespace moraine::server {
namespace {

constexpr std::size_t kMaxErrorText = 300;  // a parser's message may quote megabytes of the body

// The four hex digits at text[at..at+4), or -1.
int hex4(std::string_view text, std::size_t at) {
  if (at + 4 > text.size()) return -1;
  int value = 0;
  for (std::size_t i = at; i < at + 4; ++i) {
    const char c = text[i];
    int digit;
    if (c >= '0' && c <= '9') {
      digit = c - '0';
    } else if (c >= 'a' && c <= 'f') {
      digit = c - 'a' + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = c - 'A' + 10;
    } else {
      return -1;
    }
    value = value * 16 + digit;
  }
  return value;
}

bool is_high_surrogate(int unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low_surrogate(int unit) { return unit >= 0xDC00 && unit < 0xE000; }

[[noreturn]] void refuse(std::size_t at, const std::string& what) {
  throw bad_request("", fmt::format("The request body is not acceptable JSON: {} (at byte {}).", what, at));
}

// "[json.exception.parse_error.101] parse error at line 1, column 3: ..." -> "parse error at ..."
std::string parser_message(std::string_view what) {
  if (const auto end = what.find("] "); end != std::string_view::npos) what.remove_prefix(end + 2);
  std::string text(what.substr(0, kMaxErrorText));
  if (what.size() > kMaxErrorText) text += "...";
  return text;
}

}  // namespace

std::string mend_json(std::string_view text) {
  std::string out(text);
  std::vector<std::size_t> members;  // of each open object or array
  members.reserve(kMaxJsonDepth);
  std::size_t values = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '"') {
        in_string = false;
      } else if (c == '\\' && i + 1 < text.size()) {
        ++i;
        if (text[i] != 'u') continue;
        const int unit = hex4(text, i + 1);
        if (is_high_surrogate(unit) && text.substr(i + 5, 2) == "\\u" &&
            is_low_surrogate(hex4(text, i + 7))) {
          i += 10;  // a proper pair
        } else if (is_high_surrogate(unit) || is_low_surrogate(unit)) {
          out.replace(i + 1, 4, "FFFD");
        }
      }
      continue;
    }
    switch (c) {
      case '"':
        in_string = true;
        break;
      case '{':
      case '[':
        if (members.size() == kMaxJsonDepth) {
          refuse(i, fmt::format("it is nested deeper than {} levels", kMaxJsonDepth));
        }
        members.push_back(0);
        ++values;
        break;
      case '}':
      case ']':
        if (!members.empty()) members.pop_back();
        break;
      case ',':
        ++values;
        break;
      case ':':
        if (!members.empty() && ++members.back() > kMaxJsonMembers) {
          refuse(i, fmt::format("one object has more than {} members", kMaxJsonMembers));
        }
        break;
      default:
        break;
    }
    if (values > kMaxJsonValues) refuse(i, fmt::format("it holds more than {} values", kMaxJsonValues));
  }
  return out;
}

Json parse_json(std::string_view text, const char* what) {
  if (std::all_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' '; })) {
    throw bad_request("", "The request has no body; send a JSON object.");
  }
  const std::string mended = mend_json(text);
  try {
    return Json::parse(mended);
  } catch (const Json::parse_error& e) {
    throw bad_request("", fmt::format("{} is not valid JSON: {}.", what, parser_message(e.what())));
  } catch (const Json::out_of_range& e) {
    throw bad_request(
        "", "The request body holds a number that no double can: " + parser_message(e.what()) + ".");
  }
}

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace moraine::server
