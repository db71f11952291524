// One GET, for the program's own questions to a running server (`moraine connect`). Blocking, bounded in time
// and size; the server's side is server.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "server/http/http.h"

namespace moraine::http {

struct GetOptions {
  std::vector<Header> headers;
  std::chrono::milliseconds timeout{10000};  // for all of it
  std::size_t max_body_bytes = 4 << 20;
};

struct GetResult {
  int status = 0;
  std::string body;
};

// `url`: http or https. Certificates are checked against the system's (and SSL_CERT_FILE, as OpenSSL does).
// Throws Error: kInvalidArgument for the address, kUnavailable where nobody answers, kIo for what breaks
// later.
GetResult get(const std::string& url, const GetOptions& options = {});

}  // namespace moraine::http
