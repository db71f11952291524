#include "base/thread_pool.h"

#include <moraine/error.h>

#include <string>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace moraine {
namespace {

inline void pause_cpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// Towards the second-level cache. Of no effect where nothing is mapped.
inline void prefetch([[maybe_unused]] const uint8_t* p) {
#if defined(__x86_64__)
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
#endif
}

constexpr size_t kCacheLine = 64;
constexpr size_t kLinesAtOnce = 4;  // fetched between two looks at whether the waiting is over

// About 50 us of spinning: longer than the serial gaps between the loops of one forward pass, far
// shorter than anything a user's CPU meter would show.
constexpr int kSpins = 2000;

}  // namespace

ThreadPool::ThreadPool(int n_threads) : active_(n_threads), ahead_(new Ahead[n_threads]) {
  try {
    for (int i = 1; i < n_threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error& e) {
    const size_t n = workers_.size() + 1;
    stop();
    throw Error(ErrorCode::kUnavailable, "The system refused more than " + std::to_string(n) + " of " +
                                             std::to_string(n_threads) + " threads (" + e.code().message() +
                                             "). Ask for fewer: -t.");
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stop_ = true;
  epoch_.fetch_add(1);
  epoch_.notify_all();
  for (auto& w : workers_) w.join();
}

bool ThreadPool::Ahead::fetch_some() noexcept {
  const uint8_t* from = begin.load(std::memory_order_relaxed);
  if (from != seen) seen = from, n_fetched = 0;
  if (n_fetched >= size.load(std::memory_order_relaxed)) return false;
  for (size_t i = 0; i < kLinesAtOnce; ++i, n_fetched += kCacheLine) prefetch(from + n_fetched);
  return true;
}

void ThreadPool::claim_tasks(uint32_t epoch, int thread) noexcept {
  for (;;) {
    uint64_t t = ticket_.load(std::memory_order_acquire);
    const TaskFn fn = fn_.load(std::memory_order_relaxed);
    void* ctx = ctx_.load(std::memory_order_relaxed);
    const int n = n_tasks_.load(std::memory_order_acquire);
    if (static_cast<uint32_t>(t >> 32) != epoch || static_cast<int>(t & 0xffffffff) >= n) return;
    // If the exchange succeeds the loop of this epoch is still running, so fn, ctx and n were its own: a
    // later loop's n would have been read after its closing of the ticket, and the exchange would fail.
    if (!ticket_.compare_exchange_weak(t, t + 1, std::memory_order_acq_rel)) continue;
    fn(ctx, static_cast<int>(t & 0xffffffff), thread);
    done_.fetch_add(1, std::memory_order_release);
  }
}

void ThreadPool::run_erased(int n_tasks, TaskFn fn, void* ctx) noexcept {
  if (n_tasks <= 0) return;
  if (n_tasks == 1 || active_.load(std::memory_order_relaxed) <= 1 || workers_.empty()) {
    for (int i = 0; i < n_tasks; ++i) fn(ctx, i, 0);
    return;
  }
  const uint32_t epoch = epoch_.load(std::memory_order_relaxed) + 1;
  // Close the old epoch first: between here and the last store nobody can claim anything.
  ticket_.store(static_cast<uint64_t>(epoch) << 32 | 0xffffffff, std::memory_order_release);
  fn_.store(fn, std::memory_order_relaxed);
  ctx_.store(ctx, std::memory_order_relaxed);
  n_tasks_.store(n_tasks, std::memory_order_release);
  done_.store(0, std::memory_order_relaxed);
  ticket_.store(static_cast<uint64_t>(epoch) << 32, std::memory_order_release);
  epoch_.store(epoch, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) epoch_.notify_all();

  claim_tasks(epoch, 0);
  int spins = 0;
  while (done_.load(std::memory_order_acquire) != n_tasks) {
    if (!ahead_[0].fetch_some()) pause_cpu();
    if (++spins % (16 * kSpins) == 0) std::this_thread::yield();  // fewer cores than threads
  }
}

void ThreadPool::work(int thread) noexcept {
  uint32_t seen = 0;
  for (;;) {
    uint32_t epoch = epoch_.load(std::memory_order_acquire);
    const int spins = thread < active_.load(std::memory_order_relaxed) ? kSpins : 0;
    for (int i = 0; epoch == seen && i < spins; ++i) {
      if (!ahead_[thread].fetch_some()) pause_cpu();
      epoch = epoch_.load(std::memory_order_acquire);
    }
    if (epoch == seen) {
      sleepers_.fetch_add(1, std::memory_order_seq_cst);
      epoch_.wait(seen, std::memory_order_seq_cst);
      sleepers_.fetch_sub(1, std::memory_order_seq_cst);
      continue;
    }
    seen = epoch;
    if (stop_) return;
    if (thread < active_.load(std::memory_order_relaxed)) claim_tasks(epoch, thread);
  }
}

}  // namespace moraine
