// The steps of scale_search.cpp: each sub-block's best scale alone; the block's half scale from the largest
// of them; then in turns the best integers for this half, and the best half for these integers and codes.
#include "quant/codebook_search.h"

#include <algorithm>
#include <cmath>

#include "quant/half.h"
#include "quant/layout.h"
#include "quant/round.h"

namespace moraine::quant {
namespace {

// Scales tried for a sub-block: its extreme value lies at either end of the table, or as far beyond or before
// it as about the distance of the last two values.
constexpr int kCandidates = 21;
constexpr double kCandidateFirst = 0.8;
constexpr double kCandidateStep = 0.02;
constexpr int kRefinements = 3;

int round_clamped(double x, int lo, int hi) noexcept {
  return x > lo ? x < hi ? static_cast<int>(std::floor(x + 0.5)) : hi : lo;
}

uint16_t saturating_half(double x) noexcept {
  return float_to_half(static_cast<float>(std::clamp(x, -65504.0, 65504.0)));
}

// The code of the value nearest to y: four bisections between neighbours' middles. NaN gives the first.
uint8_t nearest(double y) noexcept {
  int code = 0;
  for (const int half : {8, 4, 2, 1}) {
    const int above = code + half;
    if (y > 0.5 * (kIq4Values[above - 1] + kIq4Values[above])) code = above;
  }
  return static_cast<uint8_t>(code);
}

double inverse(double scale) noexcept { return scale != 0 ? 1.0 / scale : 0.0; }

double error_of(const double* x, double scale) noexcept {
  const double inv = inverse(scale);
  double sum = 0;
  for (int i = 0; i < kCodebookSubLen; ++i) {
    const double e = x[i] - scale * kIq4Values[nearest(x[i] * inv)];
    sum += e * e;
  }
  return sum;
}

// Least squares for the codes that `scale` gives: the scale, and how much smaller than with a scale of 0 the
// squared error becomes.
struct Fit {
  double scale, gain;
};
Fit refit(const double* x, double scale) noexcept {
  const double inv = inverse(scale);
  double xv = 0, vv = 0;
  for (int i = 0; i < kCodebookSubLen; ++i) {
    const double v = kIq4Values[nearest(x[i] * inv)];
    xv += x[i] * v;
    vv += v * v;
  }
  return {xv / vv, xv * xv / vv};  // no value is 0
}

double best_scale(const double* x) noexcept {
  double extreme = 0;
  for (int i = 0; i < kCodebookSubLen; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  if (extreme == 0) return 0;
  Fit best{0, 0};
  for (const int end : {kIq4Values[0], kIq4Values[15]})
    for (int c = 0; c < kCandidates; ++c) {
      const Fit fit = refit(x, extreme / (end * (kCandidateFirst + kCandidateStep * c)));
      if (fit.gain > best.gain) best = fit;
    }
  return best.scale;
}

// The scale unpacking will compute, its rounding to float included.
double stored_scale(const CodebookBlock& b, int scale) noexcept {
  return half_to_float(b.d) * static_cast<float>(scale);
}

// Best integers near the present ones; sets codes; returns the squared error.
double improve_integers(const double* x, const CodebookShape& shape, CodebookBlock& b) noexcept {
  double total = 0;
  for (int s = 0; s < shape.n_sub; ++s) {
    const double* sub = x + s * kCodebookSubLen;
    const int scale0 = b.scales[s];
    int best = scale0;
    double best_error = error_of(sub, stored_scale(b, best));
    for (int scale = std::max(scale0 - 2, shape.scale_min); scale <= std::min(scale0 + 2, shape.scale_max);
         ++scale) {
      const double error = error_of(sub, stored_scale(b, scale));
      if (error < best_error) {
        best_error = error;
        best = scale;
      }
    }
    b.scales[s] = static_cast<int8_t>(best);
    const double inv = inverse(stored_scale(b, best));
    for (int i = 0; i < kCodebookSubLen; ++i) b.codes[s * kCodebookSubLen + i] = nearest(sub[i] * inv);
    total += best_error;
  }
  return total;
}

// Least squares for d over the whole block, integers and codes fixed.
void refit_half(const double* x, const CodebookShape& shape, CodebookBlock& b) noexcept {
  double aa = 0, xa = 0;
  for (int i = 0; i < shape.n_sub * kCodebookSubLen; ++i) {
    const double a = b.scales[i / kCodebookSubLen] * kIq4Values[b.codes[i]];
    aa += a * a;
    xa += x[i] * a;
  }
  if (aa > 0 && xa != 0) b.d = saturating_half(xa / aa);
}

}  // namespace

void fit_codebook(const float* values, const CodebookShape& shape, CodebookBlock& out) noexcept {
  double x[kMaxCodebookSubs * kCodebookSubLen];
  for (int i = 0; i < shape.n_sub * kCodebookSubLen; ++i) x[i] = finite(values[i]);
  double scales[kMaxCodebookSubs];
  double largest = 0;
  for (int s = 0; s < shape.n_sub; ++s) {
    scales[s] = best_scale(x + s * kCodebookSubLen);
    if (std::fabs(scales[s]) > std::fabs(largest)) largest = scales[s];
  }

  CodebookBlock b{};
  b.d = saturating_half(largest / shape.scale_min);  // the longer end of the integers
  const double d = half_to_float(b.d);
  for (int s = 0; s < shape.n_sub; ++s)
    b.scales[s] =
        static_cast<int8_t>(round_clamped(d != 0 ? scales[s] / d : 0, shape.scale_min, shape.scale_max));

  double best_error = improve_integers(x, shape, b);
  out = b;
  for (int round = 0; round < kRefinements; ++round) {
    refit_half(x, shape, b);
    const double error = improve_integers(x, shape, b);
    if (!(error < best_error)) break;
    best_error = error;
    out = b;
  }
}

}  // namespace moraine::quant
