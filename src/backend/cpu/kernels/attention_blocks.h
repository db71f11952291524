// The walk of attention over blocks of 64 keys, shared by the vector instruction sets: which queries see what
// of a block, and where it lies. How scores, softmax and the weighted sum are computed is each one's own. The
// anonymous namespace: see avx2/simd.h.
#pragma once

#include "backend/cpu/kernels/kernels.h"

namespace moraine::cpu {
namespace {

constexpr int kPageTokens = 256;
constexpr int kDirectQueries = 4;  // up to here converting a block costs more than it saves

// The queries that see something of a block, and their part of it: keys [from, to) of the block.
struct Seen {
  int n;
  int from[kMaxQueries], to[kMaxQueries];
  const float* q[kMaxQueries];
  float* o[kMaxQueries];
  float *m[kMaxQueries], *l[kMaxQueries];
  float* p[kMaxQueries];  // scores, then weights, of the block's 64 keys
};

[[gnu::always_inline]] inline Seen seen_of(const AttendArgs& a, int block) {
  Seen s;
  s.n = 0;
  for (int i = 0; i < a.n_q; ++i) {
    const int from = a.lo[i] > block ? a.lo[i] : block;
    int to = a.hi[i] < a.end ? a.hi[i] : a.end;
    to = to < block + kKvBlock ? to : block + kKvBlock;
    if (from >= to) continue;
    s.from[s.n] = from - block;
    s.to[s.n] = to - block;
    s.q[s.n] = a.q[i];
    s.o[s.n] = a.o[i];
    s.m[s.n] = a.m + i;
    s.l[s.n] = a.l + i;
    s.p[s.n] = a.scratch + kKvBlock * s.n;
    ++s.n;
  }
  return s;
}

// Asks for memory in address order, which sets the hardware's prefetcher going.
[[gnu::always_inline]] inline void ask_for(const uint8_t* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i);
}

// score(s, k page, slot, first, last), soften(s, query), weigh(s, v page, slot, first, last) for each block
// that anybody sees: keys [first, last) from the page's slot on. k_bytes, v_bytes: of a key and a value. With
// few queries memory is what takes the time, and scores read a block in many small steps side by side: so
// values are asked for before the scores, and the next block's keys behind them.
template <class Score, class Soften, class Weigh>
[[gnu::always_inline]] inline void for_each_block(const AttendArgs& a, int64_t k_bytes, int64_t v_bytes,
                                                  Score score, Soften soften, Weigh weigh) {
  for (int block = a.begin; block < a.end; block += kKvBlock) {
    const Seen s = seen_of(a, block);
    if (s.n == 0) continue;
    int first = kKvBlock, last = 0;
    for (int i = 0; i < s.n; ++i) {
      first = s.from[i] < first ? s.from[i] : first;
      last = s.to[i] > last ? s.to[i] : last;
    }
    const int page = block / kPageTokens - a.begin / kPageTokens, slot = block % kPageTokens;
    const bool few = s.n <= kDirectQueries;
    if (few) ask_for(a.v_pages[page] + slot * v_bytes, kKvBlock * v_bytes);
    score(s, a.k_pages[page], slot, first, last);
    if (const int next = block + kKvBlock; few && next < a.end)
      ask_for(a.k_pages[next / kPageTokens - a.begin / kPageTokens] + next % kPageTokens * k_bytes,
              kKvBlock * k_bytes);
    for (int i = 0; i < s.n; ++i) soften(s, i);
    weigh(s, a.v_pages[page], slot, first, last);
  }
}

// The weighted sum of kQueries queries from i: keys that all of them see are taken together by all(j0, j1),
// the ragged ends one query at a time by one(query, j0, j1).
template <int kQueries, class One, class All>
[[gnu::always_inline]] inline void weigh_together(const Seen& s, int i, One one, All all) {
  int from = s.from[i], to = s.to[i];
  for (int q = 1; q < kQueries; ++q) {
    from = s.from[i + q] > from ? s.from[i + q] : from;
    to = s.to[i + q] < to ? s.to[i + q] : to;
  }
  if (from >= to) {
    for (int q = 0; q < kQueries; ++q) one(i + q, s.from[i + q], s.to[i + q]);
    return;
  }
  for (int q = 0; q < kQueries; ++q)
    if (s.from[i + q] < from) one(i + q, s.from[i + q], from);
  all(from, to);
  for (int q = 0; q < kQueries; ++q)
    if (to < s.to[i + q]) one(i + q, to, s.to[i + q]);
}

}  // namespace
}  // namespace moraine::cpu
