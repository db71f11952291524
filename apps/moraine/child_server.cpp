#include "child_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <moraine/error.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>

#include "http_client.h"
#include "signals.h"

namespace moraine::app {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::minutes kPatience{10};  // with a large model's loading
constexpr size_t kShownLog = 2000;

// Free at this moment; whoever takes it before the server does makes that fail.
int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t n = sizeof a;
  const bool ok = fd >= 0 && bind(fd, reinterpret_cast<sockaddr*>(&a), n) == 0 &&
                  getsockname(fd, reinterpret_cast<sockaddr*>(&a), &n) == 0;
  const std::string why = std::strerror(errno);
  if (fd >= 0) close(fd);
  if (!ok) throw Error(ErrorCode::kIo, fmt::format("No port is free on 127.0.0.1: {}.", why));
  return ntohs(a.sin_port);
}

std::string end_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  const std::string all = text.str();
  return all.size() > kShownLog ? all.substr(all.size() - kShownLog) : all;
}

pid_t start(const std::vector<std::string>& arguments, const std::string& log) {
  std::vector<char*> argv;
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (out < 0)
    throw Error(ErrorCode::kIo, fmt::format("{} cannot be written: {}.", log, std::strerror(errno)));
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {  // only calls that are safe between fork and exec
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, 0), dup2(out, 1), dup2(out, 2);
    setpgid(0, 0);  // Ctrl-C is ours to pass on
    execvp(argv[0], argv.data());
    _exit(127);
  }
  const std::string why = std::strerror(errno);
  close(out);
  if (pid < 0) throw Error(ErrorCode::kIo, fmt::format("{} cannot be started: {}.", arguments[0], why));
  return pid;
}

}  // namespace

ChildServer::ChildServer(std::vector<std::string> arguments, const std::string& log, int stop_fd) {
  const int port = free_port();
  arguments.insert(arguments.end(), {"--host", "127.0.0.1", "--port", std::to_string(port)});
  url_ = fmt::format("http://127.0.0.1:{}", port);
  const Clock::time_point began = Clock::now();
  pid_ = start(arguments, log);
  const HttpClient client(url_);
  try {
    for (;;) {
      if (wait_readable({stop_fd}, 50) == 0) throw Error(ErrorCode::kCancelled, "Interrupted.");
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        throw Error(ErrorCode::kIo, fmt::format("{} ended before it answered. Its last words:\n{}",
                                                arguments[0], end_of(log)));
      }
      if (Clock::now() - began > kPatience)
        throw Error(ErrorCode::kUnavailable, fmt::format("{} was not ready in ten minutes.", arguments[0]));
      try {
        if (client.send({.path = "/health"}).status == 200) break;
      } catch (const Error&) {  // not listening yet
      }
    }
  } catch (...) {
    kill();
    throw;
  }
  start_seconds_ = std::chrono::duration<double>(Clock::now() - began).count();
}

void ChildServer::end(int signal) {
  if (pid_ < 0) return;
  ::kill(pid_, signal);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void ChildServer::kill() { end(SIGKILL); }
void ChildServer::stop() { end(SIGTERM); }

}  // namespace moraine::app
