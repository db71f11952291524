// A connected socket, with TLS or without: connection.h sees no difference. One read and one write
// may be under way at once, both on the socket's strand. Internal: the only header with Asio in it
// beside connection.h.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <memory>
#include <string>

namespace moraine::http {

class Stream {
 public:
  virtual ~Stream() = default;
  // An operation under way when close() is called ends with an error.
  virtual boost::asio::awaitable<void> handshake(boost::system::error_code& error) = 0;
  virtual boost::asio::awaitable<std::size_t> read_some(boost::asio::mutable_buffer buffer,
                                                        boost::system::error_code& error) = 0;
  virtual boost::asio::awaitable<std::size_t> write_some(boost::asio::const_buffer buffer,
                                                         boost::system::error_code& error) = 0;
  // Says that nothing more will be sent; the peer may still send.
  virtual boost::asio::awaitable<void> finish_sending() = 0;
  virtual void close() noexcept = 0;
  // Closes and forgets what the system has not delivered: for a peer that does not read.
  virtual void abort() noexcept = 0;
};

class TlsContext;

// Reads a certificate chain and its private key (PEM). Throws Error{kIo} naming the file.
std::shared_ptr<TlsContext> load_tls(const std::string& certificate_path, const std::string& key_path);

// With TLS where `tls` is given; `tls` must outlive the stream.
std::unique_ptr<Stream> make_stream(boost::asio::ip::tcp::socket socket, TlsContext* tls);

}  // namespace moraine::http
