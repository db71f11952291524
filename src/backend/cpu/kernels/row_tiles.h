// How kernels walk activation rows: in tiles of a number that the compiler knows, so that a tile's sums stay
// in registers. Shared by the vector instruction sets; each compiles its own copy, hence the anonymous
// namespace (see avx2/simd.h).
#pragma once

#include "backend/cpu/kernels/kernels.h"

namespace moraine::cpu {
namespace {

// The activations of a tile's rows, at some block.
struct Activations {
  const int8_t* q;
  const float* d;
  const int16_t* sums;
  int64_t q_stride, d_stride, s_stride;
};

template <int kWidth>
[[gnu::always_inline]] inline Activations activations(const QuantRows& x, int m, int b) {
  return {x.q + m * x.q_stride + kWidth * b,
          x.d + m * x.d_stride + b,
          x.sums + m * x.s_stride + kWidth / 16 * b,
          x.q_stride,
          x.d_stride,
          x.s_stride};
}

// Calls f.operator()<n>() if n is one of 1..kMost; returns whether it is.
template <int kMost, class Fn>
[[gnu::always_inline]] inline bool with_known(int n, Fn f) {
  if constexpr (kMost > 0) {
    if (n != kMost) return with_known<kMost - 1>(n, f);
    f.template operator()<kMost>();
    return true;
  }
  return false;
}

// f.operator()<kRows>(m) for rows m..m+kRows-1: as many tiles of kTile as there are, 4 or 8, then smaller
// ones.
template <int kTile, class Fn>
[[gnu::always_inline]] inline void for_row_tiles(int n_rows, Fn f) {
  static_assert(kTile == 4 || kTile == 8);
  int m = 0;
  for (; m + kTile <= n_rows; m += kTile) f.template operator()<kTile>(m);
  if constexpr (kTile > 4)
    if (m + 4 <= n_rows) {
      f.template operator()<4>(m);
      m += 4;
    }
  with_known<3>(n_rows - m,
                [&]<int kRows>() __attribute__((always_inline)) { f.template operator()<kRows>(m); });
}

// few.operator()<n_rows>() for up to kFew rows, else many().
template <int kFew, class Few, class Many>
[[gnu::always_inline]] inline void few_or_many(int n_rows, Few few, Many many) {
  if (!with_known<kFew>(n_rows, few)) many();
}

}  // namespace
}  // namespace moraine::cpu
