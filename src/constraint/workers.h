// A few threads that compute masks while models run, for all generations of a model.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace moraine::constraint {

class Workers {
 public:
  explicit Workers(int n_threads);  // started with the first task
  ~Workers();                       // finishes the tasks under way and drops the others
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Tasks must not throw. Throws where there is no thread or memory.
  void post(std::function<void()> task);

 private:
  void run();

  const int n_threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace moraine::constraint
