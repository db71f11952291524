// A fixed set of threads that run one parallel loop at a time, built for thousands of short loops a
// second: the caller works too, workers spin briefly between loops and then sleep. Not re-entrant.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
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

  // What a thread is going to read, probably: while it waits, within a loop's end or for the next one, it
  // fetches this into its second-level cache, so that memory is not idle when threads are. Any address will
  // do. From the calling thread.
  void read_ahead(int thread, std::span<const uint8_t> bytes) noexcept {
    ahead_[thread].size.store(bytes.size(), std::memory_order_relaxed);
    ahead_[thread].begin.store(bytes.data(), std::memory_order_relaxed);
  }

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
  // Begin and size may change apart under a thread that waits: it would fetch what it need not, no more.
  struct alignas(64) Ahead {
    std::atomic<const uint8_t*> begin{nullptr};
    std::atomic<size_t> size{0};
    const uint8_t* seen = nullptr;  // the thread's own: begin, as it saw it last, and how much is fetched
    size_t n_fetched = 0;
    bool fetch_some() noexcept;  // false: there is nothing more
  };
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
  std::unique_ptr<Ahead[]> ahead_;  // by thread
  std::vector<std::thread> workers_;
};

}  // namespace moraine
