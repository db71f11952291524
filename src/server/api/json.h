// JSON at the border of the server: hostile text in, UTF-8 text out. Includes only nlohmann's forward
// declarations; a file that builds or reads values includes <nlohmann/json.hpp> itself (some 3 s of
// compile time each). What a request's fields mean is fields.h.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace moraine::server {

using Json = nlohmann::ordered_json;

inline constexpr std::size_t kMaxJsonDepth = 128;
inline constexpr std::size_t kMaxJsonMembers = 1024;     // of one object: lookups in it are linear
inline constexpr std::size_t kMaxJsonValues = 4u << 20;  // of one document: each costs about 50 bytes

// Throws ApiError 400 with line and column. Lone surrogates (\ud800 without its pair) become U+FFFD;
// of duplicate keys the last one counts; numbers beyond a double (1e400) are refused.
// `what` begins the message of a text that is not JSON.
Json parse_json(std::string_view text, const char* what = "The request body");

// Bytes that are not UTF-8 become U+FFFD; never throws for what text values hold.
std::string dump(const Json& value);

// Checks the limits above and mends lone surrogates. A pass before the parser, which knows neither.
std::string mend_json(std::string_view text);

}  // namespace moraine::server
