#include "base/thread_pool.h"

#include <gtest/gtest.h>
#include <moraine/error.h>
#include <sys/resource.h>

#include <numeric>

namespace moraine {
namespace {

TEST(ThreadPool, EveryTaskOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int n : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> hits(n);
      pool.run(n, [&](int task, int thread) {
        EXPECT_LT(thread, threads);
        hits[task].fetch_add(1);
      });
      for (auto& h : hits) EXPECT_EQ(h.load(), 1);
    }
  }
}

// Loop after loop of different sizes: a late worker must never run a task of another loop.
TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(4);
  for (int i = 0; i < 20000; ++i) {
    const int n = 1 + i % 9;
    std::atomic<int> sum{0};
    pool.run(n, [&sum, i](int task, int) { sum += i + task; });
    ASSERT_EQ(sum, n * i + n * (n - 1) / 2);
  }
}

TEST(ThreadPool, OnlyActiveThreadsWork) {
  ThreadPool pool(4);
  for (int active : {1, 3, 2, 4}) {
    pool.set_active(active);
    for (int i = 0; i < 200; ++i) {
      std::atomic<int> n{0};
      pool.run(20, [&](int, int thread) {
        EXPECT_LT(thread, active);
        ++n;
      });
      ASSERT_EQ(n, 20);
    }
  }
}

// What is announced decides nothing: neither the loops nor whether the address may be read.
TEST(ThreadPool, ReadsAhead) {
  ThreadPool pool(3);
  std::vector<uint8_t> bytes(10000);
  const auto* nowhere = reinterpret_cast<const uint8_t*>(uintptr_t{64});
  for (const std::span<const uint8_t> ahead : {std::span<const uint8_t>(bytes),
                                               {bytes.data() + 1, 1},
                                               {},
                                               {nowhere, size_t{1} << 20},
                                               {nowhere, SIZE_MAX}}) {
    for (int i = 0; i < 50; ++i) {
      for (int t = 0; t < pool.size(); ++t) pool.read_ahead(t, ahead);
      std::atomic<int> n{0};
      pool.run(1 + i % 7, [&](int, int) { ++n; });
      ASSERT_EQ(n, 1 + i % 7);
    }
  }
}

// In a process of its own, with room for a few stacks only.
TEST(ThreadPoolDeathTest, TooManyThreadsAreAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need the address space";
#endif
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto try_many = [] {
    rlimit limit = {256u << 20, 256u << 20};
    setrlimit(RLIMIT_AS, &limit);
    try {
      ThreadPool pool(4000);
    } catch (const Error& e) {
      std::fprintf(stderr, "%s: %s", to_string(e.code()), e.what());
      std::_Exit(3);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(try_many(), ::testing::ExitedWithCode(3),
              "unavailable: The system refused more than [0-9]+ of 4000 threads");
}

TEST(ThreadPool, WakesAfterSleeping) {
  ThreadPool pool(3);
  for (int i = 0; i < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::atomic<int> n{0};
    pool.run(64, [&](int, int) { ++n; });
    EXPECT_EQ(n, 64);
  }
}

}  // namespace
}  // namespace moraine
