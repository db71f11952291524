// The meter as the server has it: takes records at once and writes them from a thread of its own, so that
// neither a full disk nor a locked or damaged file can fail or delay a request. What cannot be written waits
// in a bounded queue and is tried again; what does not fit there is lost and counted.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/root_files.h"
#include "usage/record.h"

namespace moraine::usage {

struct WriterOptions {
  std::string path;  // the store's
  // Called on the writer's thread when writing begins to fail, and when it works again: a sentence.
  std::function<void(const std::string&)> on_notice;
  size_t max_waiting = 4096;
  std::chrono::milliseconds retry_after{30000};
  int busy_timeout_ms = 2000;
  RootFiles energy_root{"/"};
};

class Writer {
 public:
  explicit Writer(WriterOptions options);
  ~Writer();  // tries once more to write what waits
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void add(Record record) noexcept;
  // Waits until nothing waits any more, or a try to write has failed. For tests.
  void flush();
  uint64_t lost() const;

 private:
  void run();

  const WriterOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable news_, settled_;
  std::deque<Record> waiting_;
  uint64_t lost_ = 0;
  bool writing_ = false, failed_ = false, stop_ = false;
  std::string told_;  // the problem that was last told; the writer's thread alone
  std::thread thread_;
};

}  // namespace moraine::usage
