// A fixed set of threads that run one parallel loop at a time, built for thousands of short loops a
// second: the caller works too, workers spin briefly between loops and then sleep. Not re-entrant.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <type_traits>
#include <vector>

namespace moraine {

class ThreadPool {
 public:
  explicit ThreadPool(int n_threads);  // counting the caller; at least 1. Throws Error{kUnavailable}
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // The next loops use threads [0, n) only; the others sleep. Between loops, from the calling thread.
  void set_active(int n) noexcept { active_.store(n, std::memory_order_relaxed); }
  int active() const noexcept { return active_.load(std::memory_order_relaxed); }

  // Calls fn(task, thread) for task in [0, n_tasks), thread in [0, size()); returns when all are done.
  // Tasks are claimed one by one in ascending order, so a thread that is slow or not scheduled at all
  // delays the loop by its own task only. fn must not throw.
  template <class Fn>
  void run(int n_tasks, Fn&& fn) noexcept {
    run_erased(
        n_tasks,
        [](void* ctx, int task, int thread) {
          (*static_cast<std::remove_reference_t<Fn>*>(ctx))(task, thread);
        },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  using TaskFn = void (*)(void* ctx, int task, int thread);
  void run_erased(int n_tasks, TaskFn fn, void* ctx) noexcept;
  void work(int thread) noexcept;
  void stop();
  void claim_tasks(uint32_t epoch, int thread) noexcept;

  // epoch in the high half, next task in the low: a late worker cannot claim from a later loop.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<uint32_t> epoch_{0};
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<int> active_;
  std::atomic<int> n_tasks_{0};
  std::atomic<int> done_{0};
  std::atomic<TaskFn> fn_{nullptr};
  std::atomic<void*> ctx_{nullptr};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

}  // namespace moraine
