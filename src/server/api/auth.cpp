#include "server/api/auth.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace moraine::server {
namespace {

bool equal_in_constant_time(std::string_view given, std::string_view key) {
  // Every byte of `given` is looked at, so that the time tells its length alone.
  unsigned difference = given.size() == key.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char expected = key.empty() ? '\0' : key[i % key.size()];
    difference |= static_cast<unsigned char>(given[i] ^ expected);
  }
  return difference == 0;
}

std::string_view bearer(std::string_view header) {
  constexpr std::string_view kScheme = "bearer ";
  if (header.size() < kScheme.size()) return {};
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(header[i])) != kScheme[i]) return {};
  }
  header.remove_prefix(kScheme.size());
  while (header.starts_with(' ')) header.remove_prefix(1);
  return header;
}

// FNV-1a; never 0.
uint64_t scope_of(std::string_view key) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash | 1;
}

}  // namespace

bool is_authorized(const http::Request& request, const std::vector<std::string>& keys) {
  return keys.empty() || key_scope(request, keys) != 0;
}

std::string given_key(const http::Request& request, const std::vector<std::string>& keys) {
  std::string found;
  for (const std::string_view given :
       {bearer(request.header("Authorization")), request.header("x-api-key")}) {
    if (given.empty()) continue;
    for (const std::string& key : keys)
      if (equal_in_constant_time(given, key)) found = key;
  }
  return found;
}

uint64_t key_scope(const http::Request& request, const std::vector<std::string>& keys) {
  const std::string key = given_key(request, keys);
  return key.empty() ? 0 : scope_of(key);
}

}  // namespace moraine::server
