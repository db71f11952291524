// Response to bytes; see format.h.
#include "server/http/format.h"

#include <fmt/format.h>

#include <ctime>
#include <iterator>

namespace moraine::http {
namespace {

// RFC 9110's date; strftime would follow the locale.
std::string http_date(std::time_t now) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                     kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

void append_field(std::string& head, std::string_view name, std::string_view value) {
  for (const char c : name) head.push_back(c > ' ' && c < 0x7f && c != ':' ? c : '-');
  head += ": ";
  for (const char c : value) head.push_back(c == '\r' || c == '\n' || c == '\0' ? ' ' : c);
  head += "\r\n";
}

// Messages may quote an exception, and so anything: what is not plain ASCII becomes an escape or '?'.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", byte);
    } else {
      out.push_back(byte < 0x7f ? c : '?');
    }
  }
  out.push_back('"');
  return out;
}

}  // namespace

std::string_view status_text(int status) noexcept {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Status";
  }
}

bool has_no_body(int status) noexcept { return status == 204 || status == 304; }

std::string format_head(const Response& response, const HeadOptions& options) {
  std::string head = fmt::format("HTTP/1.1 {} {}\r\n", response.status, status_text(response.status));
  append_field(head, "Server", "moraine");
  append_field(head, "Date", http_date(std::time(nullptr)));
  if (!has_no_body(response.status)) {
    if (!response.content_type.empty()) append_field(head, "Content-Type", response.content_type);
    if (options.framing == Framing::kLength) {
      append_field(head, "Content-Length", std::to_string(response.body.size()));
    } else if (options.framing == Framing::kChunked) {
      append_field(head, "Transfer-Encoding", "chunked");
    }
  }
  if (!options.keep_alive) {
    append_field(head, "Connection", "close");
  } else if (options.http10) {
    append_field(head, "Connection", "keep-alive");
  }
  if (!options.origin.empty()) {
    append_field(head, "Access-Control-Allow-Origin", options.origin);
    append_field(head, "Vary", "Origin");
  }
  for (const Header& header : response.headers) append_field(head, header.name, header.value);
  head += "\r\n";
  return head;
}

std::string format_chunk(std::string_view bytes) {
  std::string chunk = fmt::format("{:x}\r\n", bytes.size());
  chunk += bytes;
  chunk += "\r\n";
  return chunk;
}

Response error_response(const Refusal& refusal) {
  Response response;
  response.status = refusal.status;
  response.body = fmt::format(
      R"({{"type":"error","error":{{"message":{},"type":"{}","param":null,"code":{}}}}})",
      json_string(refusal.message), refusal.status >= 500 ? "server_error" : "invalid_request_error",
      json_string(refusal.code));
  return response;
}

Response preflight_response(std::string_view requested_headers) {
  Response response;
  response.status = 204;
  const std::string_view methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
  response.headers = {
      {"Allow", std::string(methods)},
      {"Access-Control-Allow-Methods", std::string(methods)},
      {"Access-Control-Allow-Headers",
       requested_headers.empty() ? "Authorization, Content-Type" : std::string(requested_headers)},
      {"Access-Control-Max-Age", "86400"},
  };
  return response;
}

}  // namespace moraine::http
