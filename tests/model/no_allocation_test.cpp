// A step allocates nothing: not the first one, not a larger one after it, whatever the model's ops. This
// binary counts every call of operator new while a step runs, on any thread.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <random>

#include "runner.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int> n_allocations{0};

void* counted(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
  if (counting.load(std::memory_order_relaxed)) n_allocations.fetch_add(1, std::memory_order_relaxed);
  void* p = nullptr;
  if (posix_memalign(&p, std::max(alignment, sizeof(void*)), size ? size : 1) != 0) throw std::bad_alloc();
  return p;
}

}  // namespace

// The array and nothrow forms call these.
void* operator new(std::size_t size) { return counted(size); }
void* operator new(std::size_t size, std::align_val_t a) { return counted(size, std::size_t(a)); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace moraine {
namespace {

using testing::Row;
using testing::Runner;

void count(bool begins) { counting = begins; }

TEST(NoAllocation, TheCounterCounts) {
  n_allocations = 0;
  count(true);
  auto* p = new std::vector<int>(100);
  count(false);
  delete p;
  EXPECT_EQ(n_allocations, 2);
}

class NoAllocation : public ::testing::TestWithParam<const char*> {};

TEST_P(NoAllocation, InAStep) {
  const char* build = std::getenv("MORAINE_BUILD_DIR");
  Runner::Options o;
  o.on_submit = count;
  o.max_rows = 200;
  Runner runner(std::string(build ? build : "build") + "/test-models/" + GetParam(), o);
  std::mt19937 rng(1);
  // Prompts alone, rows of several sequences, single rows over a context of several partitions.
  const std::vector<std::vector<int>> steps = {{1, 0, 0}, {100, 0, 0}, {1, 1, 1},   {0, 150, 50}, {200, 0, 0},
                                               {1, 0, 0}, {7, 9, 1},   {200, 0, 0}, {199, 1, 0},  {1, 1, 0}};
  n_allocations = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    std::vector<Row> rows;
    for (int s = 0; s < 3; ++s)
      for (int j = 0; j < steps[i][s]; ++j) rows.push_back({static_cast<TokenId>(rng() % 500), s});
    runner.step(rows);
    EXPECT_EQ(n_allocations, 0) << "step " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, NoAllocation,
                         ::testing::Values("tiny-llama-q4_k_m.gguf", "tiny-gemma3-q4_k_m.gguf",
                                           "tiny-qwen3moe-q4_k_m.gguf", "tiny-qwen3next-q4_k_m.gguf",
                                           "tiny-qwen3next-f32.gguf"),
                         [](const auto& info) {
                           std::string s = info.param;
                           s = s.substr(0, s.find('.'));
                           std::replace(s.begin(), s.end(), '-', '_');
                           return s;
                         });

}  // namespace
}  // namespace moraine
