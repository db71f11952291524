#include "signals.h"

#include <moraine/error.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace moraine::app {
namespace {

sigset_t set_of(int fd_signals) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, fd_signals);
  return set;
}

}  // namespace

Signals::Signals(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int s : signals) {
    struct sigaction before{};
    if (sigaction(s, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    sigaddset(&set, s);
  }
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (fd_ < 0) throw Error(ErrorCode::kIo, "The system gave no descriptor for signals.");
}

Signals::~Signals() {
  if (fd_ >= 0) close(fd_);
}

std::optional<int> Signals::take() noexcept {
  signalfd_siginfo info{};
  if (read(fd_, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

void Signals::release() noexcept {
  while (take()) {  // those that came are dealt with; unblocked, they would end the process
  }
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) {
    const sigset_t set = set_of(s);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  }
}

Event::Event() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (fd_ < 0) throw Error(ErrorCode::kIo, "The system gave no descriptor for an event.");
}
Event::~Event() { close(fd_); }

void Event::raise() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(fd_, &one, sizeof one);
}
void Event::clear() noexcept {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = read(fd_, &count, sizeof count);
}

int wait_readable(std::initializer_list<int> fds, int timeout_ms) noexcept {
  pollfd polled[4] = {};
  nfds_t n = 0;
  for (const int fd : fds)
    if (n < 4) polled[n++] = {fd, POLLIN, 0};
  int n_ready = 0;
  do {  // an interrupted wait (a debugger, a stop and go) is no event
    n_ready = poll(polled, n, timeout_ms);
  } while (n_ready < 0 && errno == EINTR);
  if (n_ready <= 0) return -1;
  for (nfds_t i = 0; i < n; ++i)
    if (polled[i].revents != 0) return static_cast<int>(i);
  return -1;
}

}  // namespace moraine::app
