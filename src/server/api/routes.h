// Which path and method leads to which endpoint. The table is in routes.cpp.
#pragma once

#include <string_view>

#include "server/api/context.h"

namespace moraine::server {

struct Route {
  std::string_view path;    // one that ends in '*' stands for all that begin so
  std::string_view method;  // GET stands for HEAD, too
  void (*endpoint)(const Call&);
  bool needs_key = true;  // public ones: what monitors and model pickers ask before they have a key
};

// Throws ApiError: 404 for an unknown path, 405 with Allow for a wrong method, 501 for what is to come.
const Route& find_route(std::string_view method, std::string_view path);

}  // namespace moraine::server
