// See listener.h.
#include "server/http/listener.h"

#include <fmt/format.h>
#include <moraine/error.h>

#include <algorithm>
#include <boost/asio/ip/v6_only.hpp>
#include <utility>

namespace moraine::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

std::string remedy(error_code error, std::uint16_t port) {
  if (error == asio::error::address_in_use) {
    return "Port " + std::to_string(port) +
           " is already in use by another program. Stop that program, or choose another port with `--port`.";
  }
  if (error == asio::error::access_denied) {
    return "Ports below 1024 need special rights. Choose a higher port with `--port`.";
  }
  if (error == boost::system::errc::address_not_available) {
    return "This machine has no such address. Choose one of its own with `--host`: 127.0.0.1 for this "
           "machine "
           "alone, 0.0.0.0 for every network.";
  }
  return "The system says: " + error.message() +
         ". Choose another address or port with `--host` and `--port`.";
}

std::vector<asio::ip::address> resolve(asio::io_context& io, std::string host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  error_code error;
  const auto literal = asio::ip::make_address(host, error);
  if (!error) return {literal};
  std::vector<asio::ip::address> addresses;
  const auto results = tcp::resolver(io).resolve(host, "", tcp::resolver::passive, error);
  for (const auto& result : results) {
    const auto address = result.endpoint().address();
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) {
      addresses.push_back(address);
    }
  }
  if (addresses.empty()) {
    throw Error(ErrorCode::kIo, "The server cannot listen on `" + host + "`: no address has this name (" +
                                    error.message() +
                                    "). Give one of this machine's addresses with `--host`.");
  }
  return addresses;
}

tcp::acceptor bind(asio::io_context& io, const tcp::endpoint& endpoint, error_code& error) {
  tcp::acceptor acceptor(io);
  error_code ignored;
  acceptor.open(endpoint.protocol(), error);
  if (error) return acceptor;
  // A restart need not wait for the last run's connections to time out; Linux still refuses a
  // second listener.
  acceptor.set_option(tcp::acceptor::reuse_address(true), ignored);
  if (endpoint.address().is_v6()) {
    // "::" means every address; a particular one, such as ::1, has an IPv4 socket beside it.
    acceptor.set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), ignored);
  }
  acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  return acceptor;
}

}  // namespace

std::string address_text(const tcp::endpoint& endpoint) {
  asio::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return fmt::format(fmt::runtime(address.is_v6() ? "[{}]:{}" : "{}:{}"), address.to_string(),
                     endpoint.port());
}

std::vector<tcp::acceptor> listen_on(asio::io_context& io, const std::string& host, std::uint16_t port) {
  std::vector<tcp::acceptor> acceptors;
  std::string failures;
  for (const auto& address : resolve(io, host)) {
    const tcp::endpoint endpoint(address, port);
    error_code error;
    tcp::acceptor acceptor = bind(io, endpoint, error);
    if (!error) {
      port = acceptor.local_endpoint().port();
      acceptors.push_back(std::move(acceptor));
      continue;
    }
    const std::string failure =
        "The server cannot listen on " + address_text(endpoint) + ". " + remedy(error, port);
    // "localhost" often names an IPv6 address on machines without IPv6; but a port taken on one of its
    // addresses would send some clients to the other program.
    if (error == asio::error::address_in_use) throw Error(ErrorCode::kIo, failure);
    if (failures.empty()) failures = failure;
  }
  if (acceptors.empty()) throw Error(ErrorCode::kIo, failures);
  return acceptors;
}

}  // namespace moraine::http
