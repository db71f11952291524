#include "server/http/get.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <exception>
#include <optional>

namespace moraine::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::use_awaitable;

struct Address {
  bool tls = false;
  std::string host, port, target;
};

Address parse(const std::string& url) {
  Address a;
  const auto bad = [&] {
    return Error(ErrorCode::kInvalidArgument, fmt::format("{} is no http address.", url.substr(0, 200)));
  };
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) throw bad();
  a.tls = url.compare(0, scheme, "https") == 0;
  if (!a.tls && url.compare(0, scheme, "http") != 0) throw bad();
  const size_t begin = scheme + 3, slash = std::min(url.find('/', begin), url.size());
  const std::string authority = url.substr(begin, slash - begin);
  a.target = slash < url.size() ? url.substr(slash) : "/";
  const size_t bracket = authority.find(']');
  const size_t colon = authority.find(':', bracket == std::string::npos ? 0 : bracket);
  a.host = authority.substr(0, colon);
  a.port = colon == std::string::npos ? (a.tls ? "443" : "80") : authority.substr(colon + 1);
  if (a.host.starts_with('[') && a.host.ends_with(']')) a.host = a.host.substr(1, a.host.size() - 2);
  if (a.host.empty() || a.port.empty()) throw bad();
  for (const char c : url)
    if (static_cast<unsigned char>(c) <= ' ') throw bad();
  return a;
}

template <class Stream>
asio::awaitable<GetResult> exchange(Stream& stream, const Address& a, const GetOptions& options) {
  beast::http::request<beast::http::empty_body> request(beast::http::verb::get, a.target, 11);
  request.set(beast::http::field::host, a.host.find(':') == std::string::npos
                                            ? fmt::format("{}:{}", a.host, a.port)
                                            : fmt::format("[{}]:{}", a.host, a.port));
  request.set(beast::http::field::user_agent, "moraine");
  request.set(beast::http::field::connection, "close");
  for (const Header& h : options.headers) request.set(h.name, h.value);
  co_await beast::http::async_write(stream, request, use_awaitable);
  beast::flat_buffer buffer;
  beast::http::response_parser<beast::http::string_body> parser;
  parser.body_limit(options.max_body_bytes);
  co_await beast::http::async_read(stream, buffer, parser, use_awaitable);
  co_return GetResult{static_cast<int>(parser.get().result_int()), std::move(parser.get().body())};
}

asio::awaitable<GetResult> run(const Address& a, const GetOptions& options, bool& connected) {
  const auto executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  beast::tcp_stream tcp(executor);
  tcp.expires_after(options.timeout);
  const auto found = co_await resolver.async_resolve(a.host, a.port, use_awaitable);
  co_await tcp.async_connect(found, use_awaitable);
  connected = true;
  if (!a.tls) co_return co_await exchange(tcp, a, options);
  asio::ssl::context context(asio::ssl::context::tls_client);
  context.set_default_verify_paths();
  beast::ssl_stream<beast::tcp_stream> tls(std::move(tcp), context);
  tls.set_verify_mode(asio::ssl::verify_peer);
  tls.set_verify_callback(asio::ssl::host_name_verification(a.host));
  SSL_set_tlsext_host_name(tls.native_handle(), a.host.c_str());
  co_await tls.async_handshake(asio::ssl::stream_base::client, use_awaitable);
  co_return co_await exchange(tls, a, options);
}

}  // namespace

GetResult get(const std::string& url, const GetOptions& options) {
  const Address address = parse(url);
  asio::io_context io;
  std::optional<GetResult> result;
  std::string problem;
  bool connected = false;
  asio::co_spawn(io, run(address, options, connected), [&](std::exception_ptr e, GetResult r) {
    if (!e) {
      result = std::move(r);
      return;
    }
    try {
      std::rethrow_exception(e);
    } catch (const boost::system::system_error& error) {
      problem = error.code().message();
    } catch (const std::exception& error) {
      problem = error.what();
    }
  });
  io.run_for(options.timeout);  // names are looked up without a time limit of their own
  if (result) return *result;
  throw Error(connected ? ErrorCode::kIo : ErrorCode::kUnavailable,
              fmt::format("{}:{} {} ({}).", address.host, address.port,
                          connected ? "did not answer as expected" : "does not answer",
                          problem.empty() ? "it took too long" : problem));
}

}  // namespace moraine::http
