#include "epic/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

namespace moraine::epic {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kGrace{2000};  // from SIGTERM to SIGKILL
constexpr std::chrono::milliseconds kTickEvery{500};
constexpr int kPollMs = 50;

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

[[noreturn]] void fail(const std::string& what, int error) {
  throw Error(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo,
              fmt::format("Starting {} failed: {}.", what, std::strerror(error)));
}

// A file without a name: the process may read it when it likes, or never.
int input_file(const std::string& text, const std::string& what) {
  const int fd = ::memfd_create("moraine-input", MFD_CLOEXEC);
  if (fd < 0) fail(what, errno);
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno != EINTR) {
      ::close(fd);
      fail(what, errno);
    }
    if (n > 0) at += static_cast<size_t>(n);
  }
  ::lseek(fd, 0, SEEK_SET);
  return fd;
}

// The beginning and the end of what came.
class Kept {
 public:
  explicit Kept(size_t most) : most_(most) {}
  void add(std::string_view bytes) {
    total_ += bytes.size();
    const size_t room = most_ / 4 - std::min(most_ / 4, head_.size());
    head_ += bytes.substr(0, room);
    bytes.remove_prefix(std::min(room, bytes.size()));
    tail_ += bytes;
    if (tail_.size() > most_) tail_.erase(0, tail_.size() - most_ * 3 / 4);
  }
  size_t total() const { return total_; }
  std::string text() const {
    const size_t shown = std::min(tail_.size(), most_ * 3 / 4), left = total_ - head_.size() - shown;
    return left == 0 ? head_ + tail_
                     : head_ + fmt::format("\n[... {} bytes left out ...]\n", left) +
                           tail_.substr(tail_.size() - shown);
  }

 private:
  const size_t most_;
  size_t total_ = 0;
  std::string head_, tail_;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& t : texts) out.push_back(const_cast<char*>(t.c_str()));
  out.push_back(nullptr);
  return out;
}

pid_t spawn(const ProcessOptions& o, int in, int out) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  if (!o.folder.empty()) ::posix_spawn_file_actions_addchdir_np(&actions, o.folder.c_str());
  ::posix_spawn_file_actions_adddup2(&actions, in, 0);
  ::posix_spawn_file_actions_adddup2(&actions, out, 1);
  ::posix_spawn_file_actions_adddup2(&actions, out, 2);
  // No terminal to write to or to take over, and one group to end it by; signals as a shell would have them.
  sigset_t none, defaults;
  ::sigemptyset(&none);
  ::sigemptyset(&defaults);
  for (const int s : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE}) ::sigaddset(&defaults, s);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, o.command[0].c_str(), &actions, &attributes,
                                   pointers(o.command).data(), pointers(o.environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) fail(o.command[0], error);
  return pid;
}

// The one that runs: ends with its group whatever happens.
class Running {
 public:
  explicit Running(pid_t pid) : pid_(pid) {}
  ~Running() {
    ::kill(-pid_, SIGKILL);
    if (!over_) ::waitpid(pid_, &status_, 0);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  bool over() {
    if (!over_) over_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
    return over_;
  }
  int code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_); }
  void signal(int number) const { ::kill(-pid_, number); }

 private:
  const pid_t pid_;
  bool over_ = false;
  int status_ = 0;
};

}  // namespace

std::string ProcessResult::ending() const {
  if (stopped || given_up) return "was stopped";
  if (timed_out) return fmt::format("did not end within {:.0f} s and was ended", seconds);
  if (flooded) return fmt::format("wrote without end and was ended after {:.0f} s", seconds);
  return fmt::format("ended with code {} after {:.0f} s", code, seconds);
}

ProcessResult run_process(const ProcessOptions& o) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail(o.command.at(0), errno);
  Fd read_end(ends[0]), write_end(ends[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  const auto began = Clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - began).count(); };
  Fd input(input_file(o.input, o.command.at(0)));
  const pid_t pid = spawn(o, input.get(), write_end.get());
  Running child(pid);
  write_end.close();
  input.close();
  if (o.on_start) o.on_start(pid);

  ProcessResult result;
  Kept kept(o.kept_bytes);
  Clock::time_point kill_at = Clock::time_point::max();
  bool open = true;
  // What is there now; false at the end.
  const auto drain = [&] {
    char bytes[16 << 10];
    for (int i = 0; i < 64; ++i) {  // then the clock again
      const ssize_t n = ::read(read_end.get(), bytes, sizeof bytes);
      if (n == 0) return false;
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      kept.add({bytes, static_cast<size_t>(n)});
      if (o.on_output) o.on_output({bytes, static_cast<size_t>(n)});
    }
    return true;
  };
  Clock::time_point ticked = began;
  while (!child.over()) {
    pollfd fds[] = {{open ? read_end.get() : -1, POLLIN, 0}, {result.stopped ? -1 : o.stop_fd, POLLIN, 0}};
    ::poll(fds, 2, open ? kPollMs : kPollMs / 10);
    if (open) open = drain();
    if (o.on_tick && Clock::now() - ticked >= kTickEvery) {
      ticked = Clock::now();
      result.given_up = !o.on_tick() || result.given_up;
    }
    const bool ending = kill_at != Clock::time_point::max();
    result.stopped = result.stopped || (fds[1].revents & POLLIN) != 0;
    if (!ending) {
      result.timed_out = Clock::now() - began >= o.timeout;
      result.flooded = kept.total() > o.most_bytes;
      if (result.timed_out || result.flooded || result.stopped || result.given_up) {
        child.signal(SIGTERM);
        kill_at = Clock::now() + kGrace;
      }
    } else if (Clock::now() >= kill_at) {
      child.signal(SIGKILL);
    }
  }
  child.signal(SIGKILL);  // what it left running
  if (open) drain();
  result.code = child.code();
  result.output = kept.text();
  result.seconds = elapsed();
  return result;
}

uint64_t start_of(pid_t process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string text;
  std::getline(file, text);
  // The name stands in parentheses and may hold anything; what follows it is the third field.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  uint64_t start = 0;
  fields >> start;
  return start;
}

void end_group(pid_t group, uint64_t born) {
  if (group <= 1 || born == 0 || start_of(group) != born) return;
  ::kill(-group, SIGTERM);
  for (int i = 0; i < 20 && start_of(group) == born; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ::kill(-group, SIGKILL);
}

}  // namespace moraine::epic
