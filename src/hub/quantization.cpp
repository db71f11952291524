#include "hub/quantization.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace moraine::hub {
namespace {

constexpr std::string_view kEnding = ".gguf";

bool is_alnum(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string_view without_folder(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// Of an upper-case text: how many characters of a quantisation begin at `at`; 0: none.
size_t label_length(std::string_view text, size_t at) {
  const auto starts = [&](std::string_view word) { return text.substr(at).starts_with(word); };
  size_t n = 0;
  for (std::string_view word : {"MXFP4", "NVFP4", "BF16", "FP16", "F16", "F32", "F64"})
    if (starts(word)) n = word.size();
  if (n == 0) {
    // Q4, IQ3, TQ1, with what follows: _K_M, _0, _XXS.
    const size_t letters = starts("IQ") || starts("TQ") ? 2 : starts("Q") ? 1 : 0;
    if (letters == 0 || at + letters >= text.size() || !is_digit(text[at + letters])) return 0;
    n = letters + 1;
  }
  // Pieces joined by '_' are part of it, as far as they look like one: short, or MOE.
  while (at + n < text.size() && text[at + n] == '_') {
    size_t end = at + n + 1;
    while (end < text.size() && is_alnum(text[end])) ++end;
    const std::string_view piece = text.substr(at + n + 1, end - at - n - 1);
    constexpr std::array<std::string_view, 14> kPieces = {"0",  "1",   "K",   "S",  "M",   "L", "XS",
                                                          "XL", "XXS", "XXL", "NL", "MOE", "4", "8"};
    if (std::find(kPieces.begin(), kPieces.end(), piece) == kPieces.end()) break;
    n = end - at;
  }
  if (at + n < text.size() && is_alnum(text[at + n])) return 0;
  return n;
}

struct Found {
  size_t begin = 0, length = 0;
};
Found find_label(std::string_view upper_name) {
  Found last;
  for (size_t i = 0; i < upper_name.size(); ++i) {
    if (i > 0 && is_alnum(upper_name[i - 1])) continue;
    const size_t n = label_length(upper_name, i);
    if (n == 0) continue;
    last = {i, n};
    if (i >= 3 && upper_name.substr(i - 3, 3) == "UD-") last = {i - 3, n + 3};
    i += n - 1;
  }
  return last;
}

std::string_view without_ending(std::string_view name) {
  return upper(name).ends_with(upper(kEnding)) ? name.substr(0, name.size() - kEnding.size()) : name;
}

}  // namespace

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return out;
}

std::string quantization_of(std::string_view file_name) {
  const std::string name = upper(without_ending(without_folder(file_name)));
  const Found found = find_label(name);
  return name.substr(found.begin, found.length);
}

std::optional<ShardName> shard_of(std::string_view file_name) {
  const std::string_view name = without_ending(file_name);
  constexpr size_t kTail = 15;  // -00001-of-00003
  if (name.size() == file_name.size() || name.size() <= kTail) return {};
  const std::string_view tail = name.substr(name.size() - kTail);
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-") return {};
  ShardName shard{std::string(name.substr(0, name.size() - kTail))};
  const auto number = [](std::string_view digits, uint32_t& out) {
    return std::all_of(digits.begin(), digits.end(), is_digit) &&
           std::from_chars(digits.data(), digits.data() + digits.size(), out).ec == std::errc();
  };
  if (!number(tail.substr(1, 5), shard.number) || !number(tail.substr(10, 5), shard.count)) return {};
  if (shard.number == 0 || shard.number > shard.count) return {};
  return shard;
}

bool is_model_file(std::string_view file_name) {
  const std::string name = upper(without_folder(file_name));
  if (!name.ends_with(upper(kEnding)) || name.size() == kEnding.size()) return false;
  for (std::string_view other : {"MMPROJ", "IMATRIX", "GGML-VOCAB"})
    if (name.find(other) != std::string::npos) return false;
  return true;
}

std::string base_name_of(std::string_view file_name) {
  const auto shard = shard_of(file_name);
  std::string name(without_folder(shard ? std::string_view(shard->stem) : without_ending(file_name)));
  const Found found = find_label(upper(name));
  if (found.length > 0 && found.begin > 1) name.resize(found.begin - 1);
  return name;
}

}  // namespace moraine::hub
