// API keys: who may call. Keys come from the command line; what they open is the whole API.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/http/http.h"

namespace moraine::server {

// True where no key is asked for, or the request brings one of `keys` as "Authorization: Bearer KEY" or
// "x-api-key: KEY". Takes as long for a wrong key as for a right one of its length.
bool is_authorized(const http::Request& request, const std::vector<std::string>& keys);

// Which of `keys` the request brings; "": none.
std::string given_key(const http::Request& request, const std::vector<std::string>& keys);

// The same as a number that stays the same over restarts and orders of keys; 0: none.
uint64_t key_scope(const http::Request& request, const std::vector<std::string>& keys);

}  // namespace moraine::server
