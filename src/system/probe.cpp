#include "system/probe.h"

#include <moraine/error.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/system_memory.h"

namespace moraine::system {
namespace {

constexpr uint64_t kBufferBytes = uint64_t{512} << 20;  // beyond any cache but a server's
constexpr int kPasses = 5;

// Eight sums keep enough loads in flight; the compiler makes them vectors.
uint64_t sum_of(const uint64_t* words, size_t n) noexcept {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + 8 <= n; i += 8)
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}

}  // namespace

double measure_read_bandwidth(int n_threads) {
  if (available_memory() < 2 * kBufferBytes)
    throw Error(ErrorCode::kOutOfMemory, "The probe reads a buffer of 512 MiB, and less than 1 GiB is free.");
  n_threads = std::clamp(n_threads, 1, 256);
  const size_t n_words = kBufferBytes / sizeof(uint64_t), share = n_words / static_cast<size_t>(n_threads);
  std::vector<uint64_t> buffer(n_words, 1);
  using Clock = std::chrono::steady_clock;
  std::atomic<uint64_t> sink = 0;  // or the sums would be left out
  double best_s = 1e9;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto begin = Clock::now();
    std::vector<std::jthread> threads;  // started in each pass: microseconds against tens of milliseconds
    for (int t = 0; t < n_threads; ++t)
      threads.emplace_back([&, t] { sink += sum_of(buffer.data() + static_cast<size_t>(t) * share, share); });
    threads.clear();  // joins
    best_s = std::min(best_s, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return static_cast<double>(share * static_cast<size_t>(n_threads) * sizeof(uint64_t)) / best_s;
}

}  // namespace moraine::system
