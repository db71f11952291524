// See stream.h: the same five operations over a bare socket and over OpenSSL.
#include "server/http/stream.h"

#include <moraine/error.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace moraine::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

class TlsContext {
 public:
  asio::ssl::context context{asio::ssl::context::tls_server};
};

namespace {

void close_socket(tcp::socket& socket) noexcept {
  error_code ignored;
  socket.close(ignored);
}

void abort_socket(tcp::socket& socket) noexcept {
  error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

class PlainStream final : public Stream {
 public:
  explicit PlainStream(tcp::socket socket) : socket_(std::move(socket)) {}

  asio::awaitable<void> handshake(error_code& error) override {
    error = {};
    co_return;
  }
  asio::awaitable<std::size_t> read_some(asio::mutable_buffer buffer, error_code& error) override {
    co_return co_await socket_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, error));
  }
  asio::awaitable<std::size_t> write_some(asio::const_buffer buffer, error_code& error) override {
    co_return co_await socket_.async_write_some(buffer, asio::redirect_error(asio::use_awaitable, error));
  }
  asio::awaitable<void> finish_sending() override {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    co_return;
  }
  void close() noexcept override { close_socket(socket_); }
  void abort() noexcept override { abort_socket(socket_); }

 private:
  tcp::socket socket_;
};

class TlsStream final : public Stream {
 public:
  TlsStream(tcp::socket socket, asio::ssl::context& context) : stream_(std::move(socket), context) {}

  asio::awaitable<void> handshake(error_code& error) override {
    co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                     asio::redirect_error(asio::use_awaitable, error));
  }
  asio::awaitable<std::size_t> read_some(asio::mutable_buffer buffer, error_code& error) override {
    co_return co_await stream_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, error));
  }
  asio::awaitable<std::size_t> write_some(asio::const_buffer buffer, error_code& error) override {
    co_return co_await stream_.async_write_some(buffer, asio::redirect_error(asio::use_awaitable, error));
  }
  // Sends close_notify and waits for the peer's; the caller bounds the wait by close().
  asio::awaitable<void> finish_sending() override {
    error_code ignored;
    co_await stream_.async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
  }
  void close() noexcept override { close_socket(stream_.next_layer()); }
  void abort() noexcept override { abort_socket(stream_.next_layer()); }

 private:
  asio::ssl::stream<tcp::socket> stream_;
};

}  // namespace

std::shared_ptr<TlsContext> load_tls(const std::string& certificate_path, const std::string& key_path) {
  auto tls = std::make_shared<TlsContext>();
  asio::ssl::context& context = tls->context;
  error_code error;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                      asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 |
                      asio::ssl::context::no_tlsv1_1);
  context.use_certificate_chain_file(certificate_path, error);
  if (error) {
    throw Error(ErrorCode::kIo, "The TLS certificate " + certificate_path + " cannot be used: " +
                                    error.message() + ". It must be a PEM file with the whole chain.");
  }
  context.use_private_key_file(key_path, asio::ssl::context::pem, error);
  if (error) {
    throw Error(ErrorCode::kIo, "The TLS key " + key_path + " cannot be used: " + error.message() +
                                    ". It must be a PEM file without a passphrase that belongs to " +
                                    certificate_path + ".");
  }
  return tls;
}

std::unique_ptr<Stream> make_stream(tcp::socket socket, TlsContext* tls) {
  if (tls) return std::make_unique<TlsStream>(std::move(socket), tls->context);
  return std::make_unique<PlainStream>(std::move(socket));
}

}  // namespace moraine::http
