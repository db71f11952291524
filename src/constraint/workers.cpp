#include "constraint/workers.h"

#include <utility>

namespace moraine::constraint {

Workers::Workers(int n_threads) : n_threads_(n_threads) {}

Workers::~Workers() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (static_cast<int>(threads_.size()) < n_threads_) threads_.emplace_back([this] { run(); });
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Workers::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
    if (closing_) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it owns goes on this thread, and not under the lock
    lock.lock();
  }
}

}  // namespace moraine::constraint
