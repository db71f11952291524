// Host and port to listening sockets, with errors a user can act on. server.cpp accepts from them.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace moraine::http {

// Binds every address that `host` stands for, all to one port (with `port` 0: the system's choice).
// Throws Error{kIo} naming address, port, cause and remedy.
std::vector<boost::asio::ip::tcp::acceptor> listen_on(boost::asio::io_context& io, const std::string& host,
                                                      std::uint16_t port);

// "127.0.0.1:8080", "[::1]:8080"; an IPv4 client of a dual-stack socket is shown as IPv4.
std::string address_text(const boost::asio::ip::tcp::endpoint& endpoint);

}  // namespace moraine::http
