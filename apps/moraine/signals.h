// Signals as events of a loop: they are blocked and read from a descriptor, so that nothing runs inside
// a handler. Make one before any thread: threads inherit what is blocked. A signal that the process was told
// to ignore (SIGHUP by nohup, SIGINT behind a script's &) stays ignored.
#pragma once

#include <initializer_list>
#include <optional>

namespace moraine::app {

class Signals {
 public:
  explicit Signals(std::initializer_list<int> signals);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  int fd() const noexcept { return fd_; }  // readable: a signal has come
  std::optional<int> take() noexcept;      // the next one that has come; never waits
  // From now on they act as if this object were not there: the next one ends the process.
  void release() noexcept;

 private:
  int fd_ = -1;
};

// A flag that one thread raises and another waits for beside descriptors.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  int fd() const noexcept { return fd_; }
  void raise() noexcept;
  void clear() noexcept;

 private:
  int fd_ = -1;
};

// Waits until one of the descriptors is readable; at most timeout_ms, or for ever where negative.
// The index of the first that is, or -1.
int wait_readable(std::initializer_list<int> fds, int timeout_ms = -1) noexcept;

}  // namespace moraine::app
