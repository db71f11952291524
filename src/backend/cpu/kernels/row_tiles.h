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
  switch (n_rows - m) {
    case 1:
      f.template operator()<1>(m);
      break;
    case 2:
      f.template operator()<2>(m);
      break;
    case 3:
      f.template operator()<3>(m);
      break;
    default:
      break;
  }
}

// few.operator()<n_rows>() for up to kFew rows, 4 or 8, else many().
template <int kFew, class Few, class Many>
[[gnu::always_inline]] inline void few_or_many(int n_rows, Few few, Many many) {
  static_assert(kFew == 4 || kFew == 8);
  switch (n_rows) {
    case 1:
      return few.template operator()<1>();
    case 2:
      return few.template operator()<2>();
    case 3:
      return few.template operator()<3>();
    case 4:
      return few.template operator()<4>();
    default:
      break;
  }
  if constexpr (kFew == 8) switch (n_rows) {
      case 5:
        return few.template operator()<5>();
      case 6:
        return few.template operator()<6>();
      case 7:
        return few.template operator()<7>();
      case 8:
        return few.template operator()<8>();
      default:
        break;
    }
  many();
}

}  // namespace
}  // namespace moraine::cpu
