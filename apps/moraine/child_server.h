// A server that this program starts for itself: on a port of its own, quiet, ended with it whatever happens.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace moraine::app {

class ChildServer {
 public:
  // Starts `arguments` (the program first), with --port and a free one added; log: a file that takes what it
  // says. stop_fd: readable when waiting is to end. Returns once GET /health answers 200. Throws Error{kIo}
  // with the log's end where the program does not start, kCancelled where it was told to stop.
  ChildServer(std::vector<std::string> arguments, const std::string& log, int stop_fd);
  ~ChildServer() { kill(); }
  ChildServer(const ChildServer&) = delete;
  ChildServer& operator=(const ChildServer&) = delete;

  const std::string& url() const { return url_; }
  double start_seconds() const { return start_seconds_; }
  void kill();  // at once, as a crash or a power cut would end it
  void stop();  // politely; waits for its end

 private:
  void end(int signal);

  pid_t pid_ = -1;
  std::string url_;
  double start_seconds_ = 0;
};

}  // namespace moraine::app
