#include "tokenizer/nfc.h"

#include <moraine/error.h>
#include <utf8proc.h>

#include <algorithm>
#include <vector>

#include "tokenizer/utf8.h"

namespace moraine {
namespace {

int combining_class(utf8proc_int32_t c) { return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class; }

}  // namespace

// utf8proc_map() would do all of this, but it sorts marks by exchanging neighbours: a long run of
// them takes quadratic time. So the steps are taken one by one.
std::string to_nfc(std::string_view text) {
  std::vector<utf8proc_int32_t> chars;
  chars.reserve(text.size() / 2);
  while (!text.empty()) {
    const utf8::Sequence s = utf8::next(text);
    text.remove_prefix(s.size);
    if (s.code_point < 0x80) {
      chars.push_back(static_cast<utf8proc_int32_t>(s.code_point));
      continue;
    }
    utf8proc_int32_t parts[8];  // the longest canonical decomposition has four
    int boundary = 0;
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(s.code_point), parts, 8,
                                           UTF8PROC_DECOMPOSE, &boundary);
    if (n < 1 || n > 8) throw Error(ErrorCode::kInternal, "Unicode normalisation failed on a character.");
    chars.insert(chars.end(), parts, parts + n);
  }
  for (auto i = chars.begin(); i != chars.end();) {
    const auto is_mark = [](utf8proc_int32_t c) { return combining_class(c) != 0; };
    const auto begin = std::find_if(i, chars.end(), is_mark);
    const auto end = std::find_if_not(begin, chars.end(), is_mark);
    std::stable_sort(begin, end, [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
  const auto n = utf8proc_normalize_utf32(chars.data(), static_cast<utf8proc_ssize_t>(chars.size()),
                                          static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  if (n < 0) throw Error(ErrorCode::kInternal, "Unicode normalisation failed on a text.");
  std::string out;
  out.reserve(chars.size() * 2);
  for (utf8proc_ssize_t i = 0; i < n; ++i) utf8::append(out, static_cast<uint32_t>(chars[i]));
  return out;
}

}  // namespace moraine
