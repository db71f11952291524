// A command with limits on its time and output, in a session of its own: whatever it started ends with it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace moraine::epic {

struct ProcessOptions {
  std::vector<std::string> command;      // looked for on the PATH
  std::string folder;                    // where it runs; empty: here
  std::vector<std::string> environment;  // "NAME=value", all of it
  std::string input;                     // its standard input
  std::chrono::milliseconds timeout{60'000};
  size_t kept_bytes = 64 << 10;     // of standard output and error together: the beginning and the end
  size_t most_bytes = 64ull << 20;  // who writes more is ended
  int stop_fd = -1;                 // readable: end it
  std::function<void(std::string_view)> on_output;
  std::function<bool()> on_tick;              // about every half second; false: end it
  std::function<void(pid_t group)> on_start;  // may throw: then it is ended
};

struct ProcessResult {
  int code = 0;  // its exit code; 128 + N where signal N ended it
  bool timed_out = false, flooded = false, stopped = false, given_up = false;
  std::string output;
  double seconds = 0;

  bool good() const { return code == 0 && !timed_out && !flooded && !stopped && !given_up; }
  std::string ending() const;  // "ended with code 1 after 3 s"
};

// Throws Error{kNotFound} where there is no such program, kIo where it cannot be started.
ProcessResult run_process(const ProcessOptions& options);

// A group of processes that an earlier run of this program may have left: ended if it is still that one.
// `born`: when its first process started, by start_of(); 0: nothing is known, nothing is ended.
void end_group(pid_t group, uint64_t born);
uint64_t start_of(pid_t process);  // in the kernel's ticks since the system started; 0: not there

}  // namespace moraine::epic
