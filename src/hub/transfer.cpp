#include "hub/transfer.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "hub/curl_api.h"

namespace moraine::hub {
namespace {

constexpr size_t kMaxHeaders = 200, kMaxHeaderBytes = 16 << 10, kMaxFailureBytes = 64 << 10;

struct UrlHandle {
  CURLU* url = curl().url();
  UrlHandle() = default;
  UrlHandle(const UrlHandle&) = delete;
  UrlHandle& operator=(const UrlHandle&) = delete;
  ~UrlHandle() { curl().url_cleanup(url); }
  std::string get(CURLUPart part, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl().url_get(url, part, &text, flags) != CURLUE_OK) return {};
    std::string out(text);
    curl().free(text);
    return out;
  }
};

bool is_http(const std::string& scheme) { return scheme == "http" || scheme == "https"; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// Where distributions keep what the system trusts; libcurl knows only the place of the one it was built on.
std::string system_ca_file() {
  for (const char* file : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}) {
    std::error_code error;
    if (std::filesystem::exists(file, error)) return file;
  }
  return "";
}

}  // namespace

std::string_view Response::header(std::string_view name) const {
  const auto at = headers.find(name);
  return at == headers.end() ? std::string_view() : std::string_view(at->second);
}

std::string origin_of(const std::string& text) {
  UrlHandle handle;
  if (curl().url_set(handle.url, CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) return {};
  const std::string scheme = lower(handle.get(CURLUPART_SCHEME));
  if (!is_http(scheme)) return {};
  return scheme + "://" + lower(handle.get(CURLUPART_HOST)) + ":" +
         handle.get(CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

std::string redirect_target(const std::string& url, const std::string& location) {
  UrlHandle handle;
  if (location.empty() || curl().url_set(handle.url, CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return {};
  const std::string before = handle.get(CURLUPART_SCHEME);
  if (curl().url_set(handle.url, CURLUPART_URL, location.c_str(), 0) != CURLUE_OK) return {};
  const std::string after = lower(handle.get(CURLUPART_SCHEME));
  if (!is_http(after) || (before == "https" && after != "https")) return {};
  return handle.get(CURLUPART_URL);
}

struct Connection::State {
  CURL* easy = nullptr;
  TransferOptions options;
  char error[CURL_ERROR_SIZE] = "";
  // Of the request under way:
  const Request* request = nullptr;
  Response response;
  bool told_headers = false, stopped = false, too_large = false;

  bool is_success() const { return response.status >= 200 && response.status < 300; }

  void read_status() {
    long status = 0;
    curl().easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
  }

  bool tell_headers() {
    if (std::exchange(told_headers, true)) return true;
    read_status();
    if (is_success() && request->on_headers && !request->on_headers(response)) stopped = true;
    return !stopped;
  }

  static size_t on_header(char* data, size_t size, size_t n, void* self) {
    State& s = *static_cast<State*>(self);
    const std::string_view line(data, size * n);
    if (line.starts_with("HTTP/")) {  // of a proxy, or an interim answer, too: the last one counts
      s.response.headers.clear();
      return line.size();
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.size() > kMaxHeaderBytes ||
        s.response.headers.size() >= kMaxHeaders)
      return line.size();
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == '\r' || value.back() == '\n' || value.back() == ' '))
      value.remove_suffix(1);
    s.response.headers[lower(line.substr(0, colon))] = std::string(value);
    return line.size();
  }

  static size_t on_data(char* data, size_t size, size_t n, void* self) {
    State& s = *static_cast<State*>(self);
    const size_t bytes = size * n;
    if (!s.tell_headers()) return 0;
    if (s.is_success() && s.request->on_body) {
      if (s.request->on_body(std::as_bytes(std::span(data, bytes)))) return bytes;
      s.stopped = true;
      return 0;
    }
    const uint64_t limit = s.is_success() ? s.request->max_body_bytes : kMaxFailureBytes;
    if (s.response.body.size() + bytes > limit) {
      if (!s.is_success()) return bytes;  // the beginning is enough
      s.too_large = true;
      return 0;
    }
    s.response.body.append(data, bytes);
    return bytes;
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const std::atomic<bool>* cancelled = static_cast<State*>(self)->options.cancelled;
    return cancelled && *cancelled ? 1 : 0;
  }
};

Connection::Connection(const TransferOptions& options) : state_(std::make_unique<State>()) {
  state_->options = options;
  if (state_->options.ca_file.empty()) state_->options.ca_file = system_ca_file();
  state_->easy = curl().easy_init();
  if (!state_->easy) throw Error(ErrorCode::kOutOfMemory, "There is not enough memory for a connection.");
}

Connection::~Connection() {
  if (state_->easy) curl().easy_cleanup(state_->easy);
}

Response Connection::send(const Request& request) {
  State& s = *state_;
  CURL* easy = s.easy;
  s.request = &request;
  s.response = {};
  s.told_headers = s.stopped = s.too_large = false;
  s.error[0] = '\0';

  curl().easy_reset(easy);  // keeps the connection
  curl().easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl().easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl().easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl().easy_setopt(easy, CURLOPT_HTTP_VERSION,
                     static_cast<long>(CURL_HTTP_VERSION_1_1));  // one stream each
  curl().easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl().easy_setopt(easy, CURLOPT_ERRORBUFFER, s.error);
  curl().easy_setopt(easy, CURLOPT_USERAGENT, s.options.user_agent.c_str());
  curl().easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(s.options.connect_timeout.count()));
  curl().easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl().easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(s.options.stall_timeout.count()));
  curl().easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
  curl().easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
  curl().easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, State::on_progress);
  curl().easy_setopt(easy, CURLOPT_XFERINFODATA, &s);
  curl().easy_setopt(easy, CURLOPT_HEADERFUNCTION, State::on_header);
  curl().easy_setopt(easy, CURLOPT_HEADERDATA, &s);
  curl().easy_setopt(easy, CURLOPT_WRITEFUNCTION, State::on_data);
  curl().easy_setopt(easy, CURLOPT_WRITEDATA, &s);
  if (!s.options.ca_file.empty()) curl().easy_setopt(easy, CURLOPT_CAINFO, s.options.ca_file.c_str());
  std::string range;
  if (request.range) {
    range = fmt::format("{}-{}", request.range->begin, request.range->end - 1);
    curl().easy_setopt(easy, CURLOPT_RANGE, range.c_str());
  }
  std::unique_ptr<curl_slist, decltype(curl().slist_free_all)> headers(nullptr, curl().slist_free_all);
  std::vector<std::string> lines = request.headers;
  if (!request.token.empty()) lines.push_back("Authorization: Bearer " + request.token);
  for (const std::string& line : lines) {
    curl_slist* longer = curl().slist_append(headers.get(), line.c_str());
    if (longer == nullptr) throw Error(ErrorCode::kOutOfMemory, "There is not enough memory for a request.");
    headers.release();  // the same list, longer
    headers.reset(longer);
  }
  if (headers) curl().easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
  if (!request.body.empty()) {
    curl().easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl().easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
  }

  const CURLcode code = curl().easy_perform(easy);
  if (s.options.cancelled && *s.options.cancelled) throw Error(ErrorCode::kCancelled, "Stopped.");
  s.read_status();
  if (code == CURLE_OK) {
    s.tell_headers();
  } else if (s.too_large) {
    s.response.problem = fmt::format("the answer is larger than {} bytes", request.max_body_bytes);
  } else if (!s.stopped) {
    s.response.problem = s.error[0] ? s.error : curl().easy_strerror(code);
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT) s.response.status = 0;
  }
  return std::move(s.response);
}

}  // namespace moraine::hub
