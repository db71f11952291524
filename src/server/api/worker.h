// One thread that does what it is given, in order: for work that would hold up a transport thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace moraine::server {

class Worker {
 public:
  Worker() : thread_([this] { run(); }) {}
  ~Worker();  // finishes the task under way and drops the others
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void post(std::function<void()> task);  // which must not throw

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool closing_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace moraine::server
