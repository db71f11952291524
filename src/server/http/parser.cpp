// Beast's basic_parser finds the tokens; this file decides what is acceptable. Beast is laxer than a
// server with other programs in front of it can be, so the framing fields are checked again here:
// one Content-Length, no Content-Length beside Transfer-Encoding, `chunked` alone as coding.
#include "server/http/parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <new>
#include <utility>

namespace moraine::http {
namespace {

namespace beast = boost::beast;
using beast::error_code;

constexpr std::size_t kMaxFields = 128;
// What a Content-Length may reserve before the bytes have arrived.
constexpr std::size_t kMaxReservedBytes = 1024 * 1024;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string_view view(beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

bool percent_decode(std::string_view text, std::string& decoded) {
  decoded.clear();
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3) return false;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0 || (high == 0 && low == 0)) return false;
    decoded.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return true;
}

class RequestParser::Impl final : private beast::http::basic_parser<true> {
 public:
  explicit Impl(const ParserLimits& limits) : limits_(limits) {
    header_limit(static_cast<std::uint32_t>(std::min<std::size_t>(limits.max_header_bytes, 1u << 30)));
    body_limit(limits.max_body_bytes);
    eager(false);  // one step at a time, so that feed() can stop behind the header
  }

  std::size_t feed(std::string_view bytes) {
    std::size_t used = 0;
    // Empty lines before a request are ignored (RFC 9112, 2.2): old clients end a body with one.
    while (!got_some() && bytes.substr(used, 2) == "\r\n") used += 2;
    if (!got_some() && bytes.substr(used) == "\r") return used;
    const bool in_head = state_ == State::kHead;
    while (used < bytes.size() && (state_ == State::kHead || state_ == State::kBody)) {
      error_code error;
      const std::string_view rest = bytes.substr(used);
      const std::size_t step = put({rest.data(), rest.size()}, error);
      used += step;
      if (error == beast::http::error::need_more) break;
      if (error) {
        if (state_ != State::kRefused) refuse_for(error);
        break;
      }
      if (is_done()) {
        state_ = State::kDone;
      } else if (is_header_done()) {
        state_ = State::kBody;
        if (in_head) break;
      }
    }
    return used;
  }

  void refuse(int status, std::string code, std::string message) {
    refusal_ = {status, std::move(code), std::move(message)};
    state_ = State::kRefused;
  }

  void refuse_for(error_code error) {
    using E = beast::http::error;
    if (error == E::body_limit) {
      refuse(413, "body_too_large",
             "The request body is larger than this server accepts (" +
                 std::to_string(limits_.max_body_bytes) + " bytes). Send less, or raise the server's limit.");
    } else if (error == E::header_limit) {
      refuse_large_header();
    } else if (error == E::bad_version) {
      refuse(505, "bad_http_version", "This server speaks HTTP/1.0 and HTTP/1.1 only.");
    } else if (error == E::bad_method) {
      refuse(400, "bad_request",
             "The request does not begin with an HTTP method. If the client speaks TLS (https://), use "
             "http:// for this address.");
    } else {
      refuse(400, "bad_request", "The request is not valid HTTP/1.1: " + error.message() + ".");
    }
  }

  void refuse_large_header() {
    refuse(431, "headers_too_large",
           "The request line and headers are larger than this server accepts (" +
               std::to_string(limits_.max_header_bytes) + " bytes, " + std::to_string(kMaxFields) +
               " fields).");
  }

  bool started() const { return got_some(); }
  bool wants_keep_alive() const { return is_header_done() && beast::http::basic_parser<true>::keep_alive(); }

  ParserLimits limits_;
  State state_ = State::kHead;
  Refusal refusal_;
  Request request_;
  bool http10_ = false;
  bool head_only_ = false;
  bool expects_continue_ = false;

 private:
  // Stops Beast: feed() sees the refusal and reports it in place of this code.
  static error_code stop() { return beast::http::make_error_code(beast::http::error::bad_value); }

  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target, int version,
                       error_code& error) override {
    http10_ = version == 10;
    header_bytes_ = method.size() + target.size();
    request_.method = std::string(view(method));
    if (request_.method == "HEAD") {
      head_only_ = true;
      request_.method = "GET";
    }
    set_target(view(target), error);
  }

  void set_target(std::string_view target, error_code& error) {
    if (request_.method == "CONNECT") {
      refuse(501, "not_implemented", "This server is not a proxy: it does not serve CONNECT.");
      error = stop();
      return;
    }
    // A proxy's absolute form, "http://host/path", means the path.
    if (const auto scheme = target.find("://"); scheme != target.npos && target[0] != '/') {
      const auto slash = target.find_first_of("/?", scheme + 3);
      target = slash == target.npos ? std::string_view("/") : target.substr(slash);
    }
    target = target.substr(0, target.find('#'));
    const auto question = target.find('?');
    if (question != target.npos) request_.query = std::string(target.substr(question + 1));
    std::string_view path = target.substr(0, question);
    if (path.empty()) path = "/";
    if ((path[0] != '/' && path != "*") || !percent_decode(path, request_.path)) {
      refuse(400, "bad_path",
             "The request's path is not valid: it must begin with '/', and each '%' must be followed by two "
             "hex digits that do not stand for NUL.");
      error = stop();
    }
  }

  void on_field_impl(beast::http::field field, beast::string_view name, beast::string_view value,
                     error_code& error) override {
    header_bytes_ += name.size() + value.size() + 4;
    if (header_bytes_ > limits_.max_header_bytes || ++n_fields_ > kMaxFields) {
      refuse_large_header();
      error = stop();
      return;
    }
    // Trailers arrive behind the body: whatever they say is too late to be believed.
    if (is_header_done()) return;

    using F = beast::http::field;
    if (field == F::content_length) {
      if (has_length_ || view(value).find(',') != std::string_view::npos) {
        refuse(400, "bad_request", "The request carries more than one Content-Length.");
        error = stop();
        return;
      }
      has_length_ = true;
    } else if (field == F::transfer_encoding) {
      if (!equal_ignoring_case(view(value), "chunked")) {
        refuse(501, "unsupported_transfer_coding",
               "The request's Transfer-Encoding is not supported: send the body with Content-Length or as "
               "'chunked' alone.");
        error = stop();
        return;
      }
      is_chunked_ = true;
    } else if (field == F::expect) {
      if (!equal_ignoring_case(view(value), "100-continue")) {
        refuse(417, "expectation_failed", "The only Expect this server meets is '100-continue'.");
        error = stop();
        return;
      }
      expects_continue_ = true;
    }
    request_.headers.push_back({std::string(view(name)), std::string(view(value))});
  }

  void on_header_impl(error_code& error) override {
    if (is_chunked_ && (http10_ || has_length_)) {
      refuse(400, "bad_request",
             "The request's Transfer-Encoding contradicts its version or Content-Length.");
      error = stop();
    }
    if (http10_) expects_continue_ = false;  // a 1.0 client cannot read the interim answer
  }

  void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) override {
    if (length) request_.body.reserve(std::min<std::uint64_t>(*length, kMaxReservedBytes));
  }

  std::size_t on_body_impl(beast::string_view bytes, error_code&) override {
    request_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }

  void on_chunk_header_impl(std::uint64_t, beast::string_view, error_code&) override {}

  std::size_t on_chunk_body_impl(std::uint64_t, beast::string_view bytes, error_code&) override {
    request_.body.append(bytes.data(), bytes.size());
    return bytes.size();
  }

  void on_finish_impl(error_code&) override {}

  // Never called for requests.
  void on_response_impl(int, beast::string_view, int, error_code&) override {}

  std::size_t header_bytes_ = 0;
  std::size_t n_fields_ = 0;
  bool has_length_ = false;
  bool is_chunked_ = false;
};

RequestParser::RequestParser(const ParserLimits& limits) : impl_(std::make_unique<Impl>(limits)) {}
RequestParser::~RequestParser() = default;
RequestParser::RequestParser(RequestParser&&) noexcept = default;

std::size_t RequestParser::feed(std::string_view bytes) noexcept {
  try {
    return impl_->feed(bytes);
  } catch (const std::exception&) {  // bad_alloc: the body does not fit into memory
    impl_->request_ = {};
    impl_->refuse(503, "out_of_memory", "The server has no memory left for this request; try again later.");
    return 0;
  }
}

void RequestParser::refuse(Refusal refusal) noexcept {
  impl_->refusal_ = std::move(refusal);
  impl_->state_ = State::kRefused;
}
RequestParser::State RequestParser::state() const noexcept { return impl_->state_; }
const Refusal& RequestParser::refusal() const noexcept { return impl_->refusal_; }
bool RequestParser::started() const noexcept { return impl_->started(); }
bool RequestParser::keep_alive() const noexcept { return impl_->wants_keep_alive(); }
bool RequestParser::http10() const noexcept { return impl_->http10_; }
bool RequestParser::head_only() const noexcept { return impl_->head_only_; }
bool RequestParser::expects_continue() const noexcept { return impl_->expects_continue_; }
std::string_view RequestParser::header(std::string_view name) const { return impl_->request_.header(name); }
std::size_t RequestParser::body_bytes() const noexcept { return impl_->request_.body.size(); }
Request RequestParser::take_request() { return std::move(impl_->request_); }

}  // namespace moraine::http
