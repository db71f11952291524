// How a loop over weights is cut for threads that claim one piece after another: long pieces first, so that
// each streams through memory without a stop, then ever shorter ones, so that all end together.
#pragma once

#include <algorithm>
#include <cstdint>

namespace moraine::cpu {

// Units [0, n_units) in pieces of at most `most`: while more is left than that for every thread twice, then a
// half of what is left in one piece for each thread, half of the rest, and so on down to `least`. All but the
// last are even, as wide kernels take two groups of rows at once.
class Pieces {
 public:
  struct Range {
    int64_t begin, end;
  };

  // The least units of a piece worth claiming, where one has so many bytes of weights: smaller pieces cost
  // more to claim than to run.
  static constexpr int64_t worth_claiming(int64_t unit_bytes) {
    return ((16 << 10) + unit_bytes - 1) / unit_bytes;
  }

  // least, most, n_threads: at least 1.
  Pieces(int64_t n_units, int64_t least, int64_t most, int n_threads) : n_units_(n_units) {
    const auto even = [](int64_t n) { return n + n % 2; };
    least = even(least), most = std::max(even(most), least);
    int64_t begin = 0;
    while (begin < n_units && n_rounds_ < kMaxRounds) {
      const int64_t left = n_units - begin, share = (left + 2 * n_threads - 1) / (2 * n_threads);
      const int64_t size = std::clamp(even(share), least, most);
      const bool last = size == least || n_rounds_ == kMaxRounds - 1;
      // As many as leave enough for a round of shorter ones.
      const int64_t n = last           ? (left + size - 1) / size
                        : size == most ? std::max<int64_t>(n_threads, left / size - 2 * n_threads)
                                       : n_threads;
      rounds_[n_rounds_++] = {begin, size, count_};
      begin += std::min(left, n * size);
      count_ += static_cast<int32_t>(std::min(n, (left + size - 1) / size));
    }
  }

  int32_t count() const { return count_; }
  Range operator[](int32_t piece) const {
    int32_t r = n_rounds_ - 1;
    while (rounds_[r].first_piece > piece) --r;
    const int64_t begin = rounds_[r].begin + (piece - rounds_[r].first_piece) * rounds_[r].size;
    return {begin, std::min(begin + rounds_[r].size, n_units_)};
  }

 private:
  static constexpr int32_t kMaxRounds = 6;
  struct Round {
    int64_t begin, size;
    int32_t first_piece;
  };
  int64_t n_units_;
  Round rounds_[kMaxRounds] = {};
  int32_t n_rounds_ = 0, count_ = 0;
};

}  // namespace moraine::cpu
