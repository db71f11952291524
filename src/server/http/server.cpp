// See server.h. Accepts, counts and ends connections; how one lives is in connection.cpp.
#include "server/http/server.h"

#include <moraine/error.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "server/http/connection.h"
#include "server/http/listener.h"

namespace moraine::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

// Clients that are told "too many connections" at the same time; further ones are just closed.
constexpr std::size_t kMaxTurnedAway = 64;
// How long accept() rests where the system is out of descriptors or memory.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

void tune(tcp::socket& socket) {
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  // A client whose machine vanished sends no FIN. While an answer is in the making and nothing is
  // written, only the system's probes find out: after 30 s of silence, thrice, 10 s apart.
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const int idle_s = 30, interval_s = 10, count = 3;
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

}  // namespace

class Server::Impl {
 public:
  Impl(ServerOptions options, Handler handler) {
    if (options.tls_certificate_path.empty() != options.tls_key_path.empty()) {
      throw Error(ErrorCode::kInvalidArgument,
                  "TLS needs both a certificate and its private key; one of the two is missing.");
    }
    options.n_threads = std::max<std::size_t>(options.n_threads, 1);
    if (!options.tls_key_path.empty()) tls_ = load_tls(options.tls_certificate_path, options.tls_key_path);
    context_.options = std::move(options);
    context_.handler = std::move(handler);
  }

  void listen() {
    if (!acceptors_.empty()) return;
    acceptors_ = listen_on(io_, context_.options.host, context_.options.port);
    port_ = acceptors_.front().local_endpoint().port();
  }

  std::uint16_t port() const { return port_; }

  void start() {
    listen();
    if (!threads_.empty()) return;
    for (tcp::acceptor& acceptor : acceptors_) {
      asio::co_spawn(accept_strand_, accept_from(acceptor), asio::detached);
    }
    for (std::size_t i = 0; i < context_.options.n_threads; ++i) {
      threads_.emplace_back([this] { serve_thread(); });
    }
  }

  bool drain(std::chrono::milliseconds deadline) {
    context_.draining = true;
    close_acceptors();
    for (const auto& connection : open_connections()) connection->drain();
    if (threads_.empty()) return true;
    {
      std::unique_lock lock(mutex_);
      if (changed_.wait_for(lock, deadline, [&] { return n_open_ == 0; })) return true;
    }
    const std::uint64_t lost = context_.lost_clients;
    kill_all();
    return context_.lost_clients == lost;
  }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    context_.draining = true;
    close_acceptors();
    if (!threads_.empty()) kill_all();
    work_.reset();
    io_.stop();
    for (std::thread& thread : threads_) thread.join();
  }

  ServerStats stats() const {
    ServerStats stats;
    {
      std::lock_guard lock(mutex_);
      stats.open_connections = n_open_;
      stats.accepted_connections = n_accepted_;
      stats.refused_connections = n_refused_;
    }
    stats.open_exchanges = context_.open_exchanges;
    stats.requests = context_.requests;
    stats.refused_requests = context_.refused_requests;
    stats.lost_clients = context_.lost_clients;
    stats.bytes_received = context_.bytes_received;
    stats.bytes_sent = context_.bytes_sent;
    return stats;
  }

 private:
  // A connection's place in the books, given up when nothing of the connection is left.
  struct Place {
    Impl& server;
    std::string address;
    bool turned_away = false;
    std::uint64_t id = 0;  // 0: not entered
    ~Place() {
      if (id != 0) server.leave(*this);
    }
  };

  void serve_thread() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception&) {
        // Out of memory in a completion handler: the connection it belonged to is lost, no other.
      }
    }
  }

  asio::awaitable<void> accept_from(tcp::acceptor& acceptor) {
    asio::steady_timer pause(accept_strand_);
    while (acceptor.is_open() && !context_.draining) {
      error_code error;
      const Connection::Strand strand = asio::make_strand(io_);
      tcp::socket socket =
          co_await acceptor.async_accept(strand, asio::redirect_error(asio::use_awaitable, error));
      if (error == asio::error::operation_aborted) co_return;
      if (!error) {
        admit(std::move(socket), strand);
      } else if (error != asio::error::connection_aborted) {
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      }
    }
  }

  void admit(tcp::socket socket, const Connection::Strand& strand) noexcept try {
    error_code error;
    const tcp::endpoint remote = socket.remote_endpoint(error);
    if (error) return;  // gone already
    tune(socket);
    std::shared_ptr<Place> place = enter(remote.address().to_string());
    if (!place) return;
    std::optional<Refusal> turned_away;
    if (place->turned_away) {
      turned_away = Refusal{503, "too_many_connections",
                            "The server has as many connections as it serves at once; try again later."};
    }
    auto connection =
        std::make_shared<Connection>(context_, strand, make_stream(std::move(socket), tls_.get()),
                                     address_text(remote), place, std::move(turned_away));
    {
      std::lock_guard lock(mutex_);
      connections_[place->id] = connection;
    }
    connection->start();
    if (context_.draining) connection->drain();  // drain() may have looked before it was listed
  } catch (const std::exception&) {
    // No memory for one more connection: it is closed, and the next may be luckier.
  }

  std::shared_ptr<Place> enter(const std::string& address) {
    const ServerOptions& options = context_.options;
    const std::shared_ptr<Place> place(new Place{*this, address});
    std::lock_guard lock(mutex_);
    std::size_t& n_of_address = n_by_address_[address];
    const bool full =
        n_open_ - n_turned_away_ >= options.max_connections ||
        (options.max_connections_per_address > 0 && n_of_address >= options.max_connections_per_address);
    ++n_accepted_;
    if (full) ++n_refused_;
    if (full && n_turned_away_ >= kMaxTurnedAway) {
      if (n_of_address == 0) n_by_address_.erase(address);
      return nullptr;
    }
    ++n_open_;
    ++n_of_address;
    if (full) ++n_turned_away_;
    place->turned_away = full;
    place->id = next_id_++;
    return place;
  }

  void leave(const Place& place) {
    std::lock_guard lock(mutex_);
    connections_.erase(place.id);
    --n_open_;
    if (place.turned_away) --n_turned_away_;
    if (const auto entry = n_by_address_.find(place.address); --entry->second == 0)
      n_by_address_.erase(entry);
    changed_.notify_all();
  }

  std::vector<std::shared_ptr<Connection>> open_connections() const {
    std::vector<std::shared_ptr<Connection>> open;
    std::lock_guard lock(mutex_);
    for (const auto& [id, weak] : connections_) {
      if (auto connection = weak.lock()) open.push_back(std::move(connection));
    }
    return open;
  }

  void close_acceptors() {
    if (threads_.empty()) {
      acceptors_.clear();
      return;
    }
    asio::post(accept_strand_, [this] {
      error_code ignored;
      for (tcp::acceptor& acceptor : acceptors_) acceptor.close(ignored);
    });
  }

  // Handlers get their on_close() before this returns.
  void kill_all() {
    std::unique_lock lock(mutex_);
    while (n_open_ > 0) {
      lock.unlock();
      for (const auto& connection : open_connections()) connection->kill();
      lock.lock();
      // Again and again: one may have been accepted while the others were listed.
      changed_.wait_for(lock, std::chrono::milliseconds(50), [&] { return n_open_ == 0; });
    }
  }

  ConnectionContext context_;
  std::shared_ptr<TlsContext> tls_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, std::weak_ptr<Connection>> connections_;
  std::map<std::string, std::size_t> n_by_address_;
  std::size_t n_open_ = 0;
  std::size_t n_turned_away_ = 0;
  std::uint64_t n_accepted_ = 0;
  std::uint64_t n_refused_ = 0;
  std::uint64_t next_id_ = 1;

  // Behind what connections use: whatever io_ still holds is destroyed before it.
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  Connection::Strand accept_strand_ = asio::make_strand(io_);
  std::vector<tcp::acceptor> acceptors_;
  std::uint16_t port_ = 0;
  std::vector<std::thread> threads_;
  bool stopped_ = false;
};

Server::Server(ServerOptions options, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(handler))) {}
Server::~Server() { impl_->stop(); }
void Server::listen() { impl_->listen(); }
std::uint16_t Server::port() const { return impl_->port(); }
void Server::start() { impl_->start(); }
bool Server::drain(std::chrono::milliseconds deadline) { return impl_->drain(deadline); }
void Server::stop() { impl_->stop(); }
ServerStats Server::stats() const { return impl_->stats(); }

}  // namespace moraine::http
