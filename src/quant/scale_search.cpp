// Three steps, the same for both kinds of block:
//  1. each sub-block alone: try a range of scales around "the extremes just fit", round to quants,
//     solve least squares for the scale (and min) those quants would like best, keep the best;
//  2. the block's half scale makes the largest of these its largest integer;
//  3. alternate: for the half scales as they are, the best integers of each sub-block among the
//     neighbours of the present ones; for these integers and quants, the best half scales by least
//     squares. The best state seen stays.
// Sums are doubles: 256 squared floats cannot overflow one, and their rounding does not matter.
#include "quant/scale_search.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "quant/half.h"
#include "quant/round.h"

namespace moraine::quant {
namespace {

// Scales tried in step 1: the extremes are laid 1 level inside to 1 level outside the range of
// quants, in steps of a tenth of a level.
constexpr int kCandidates = 21;
constexpr double kCandidateFirst = -1.0;
constexpr double kCandidateStep = 0.1;
constexpr int kRefinements = 3;  // rounds of step 3

double candidate_shift(int i) noexcept { return kCandidateFirst + kCandidateStep * i; }

// To nearest, clamped to [lo, hi]; NaN gives lo.
int round_clamped(double x, int lo, int hi) noexcept {
  if (!(x > lo)) return lo;
  if (x >= hi) return hi;
  return static_cast<int>(x - lo + 0.5) + lo;
}

uint16_t saturating_half(double x) noexcept {
  return float_to_half(static_cast<float>(std::clamp(x, -65504.0, 65504.0)));
}

// ---- affine blocks ----

struct Line {  // value = scale * q - min
  double scale, min;
};

int line_quant(double x, const Line& line, double inverse, int q_max) noexcept {
  return round_clamped((x + line.min) * inverse, 0, q_max);
}

double line_inverse(const Line& line) noexcept { return line.scale > 0 ? 1.0 / line.scale : 0.0; }

double line_error(const double* x, int n, const Line& line, int q_max) noexcept {
  const double inverse = line_inverse(line);
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    const double e = x[i] - (line.scale * line_quant(x[i], line, inverse, q_max) - line.min);
    sum += e * e;
  }
  return sum;
}

// Least squares for the quants that `line` gives. The format has no negative mins.
Line refit_line(const double* x, int n, const Line& line, int q_max) noexcept {
  const double inverse = line_inverse(line);
  double sum_x = 0, sum_q = 0, sum_qq = 0, sum_xq = 0;
  for (int i = 0; i < n; ++i) {
    const double q = line_quant(x[i], line, inverse, q_max);
    sum_x += x[i];
    sum_q += q;
    sum_qq += q * q;
    sum_xq += x[i] * q;
  }
  const double det = n * sum_qq - sum_q * sum_q;
  if (!(det > 0)) return line;
  Line fit{(n * sum_xq - sum_x * sum_q) / det, (sum_q * sum_xq - sum_qq * sum_x) / det};
  if (fit.min < 0) fit = {sum_xq / sum_qq, 0.0};
  return fit.scale > 0 ? fit : line;
}

Line best_line(const double* x, int n, int q_max) noexcept {
  const double lo = std::min(0.0, *std::min_element(x, x + n));
  const double hi = *std::max_element(x, x + n);
  Line best{0.0, -lo};
  if (!(hi > lo)) return best;
  double best_error = line_error(x, n, best, q_max);
  for (int c = 0; c < kCandidates; ++c) {
    Line line{(hi - lo) / (q_max + candidate_shift(c)), -lo};
    for (int pass = 0; pass < 2; ++pass) {
      line = refit_line(x, n, line, q_max);
      const double error = line_error(x, n, line, q_max);
      if (error < best_error) {
        best_error = error;
        best = line;
      }
    }
  }
  return best;
}

// The line unpacking will compute, its roundings to float included.
Line stored_line(const AffineBlock& b, int scale, int min) noexcept {
  return {half_to_float(b.d) * static_cast<float>(scale), half_to_float(b.dmin) * static_cast<float>(min)};
}

// The min that the quants of (scale, min0) would like best: where a coarse d makes one step of scale
// large, the min has to move further than a step with it.
int best_min_for(const double* x, const AffineShape& shape, const AffineBlock& b, int scale,
                 int min0) noexcept {
  const double dmin = half_to_float(b.dmin);
  if (!(dmin > 0)) return 0;
  const Line line = stored_line(b, scale, min0);
  const double inverse = line_inverse(line);
  double sum = 0;
  for (int i = 0; i < shape.sub_len; ++i)
    sum += line.scale * line_quant(x[i], line, inverse, shape.q_max) - x[i];
  return round_clamped(sum / shape.sub_len / dmin, 0, shape.scale_max);
}

// Best integers for each sub-block near the present ones; sets quants; returns the squared error.
double improve_integers(const double* x, const AffineShape& shape, AffineBlock& b) noexcept {
  double total = 0;
  for (int s = 0; s < shape.n_sub; ++s) {
    const double* sub = x + s * shape.sub_len;
    const int scale0 = b.scales[s], min0 = b.mins[s];
    int best_scale = scale0, best_min = min0;
    double best_error = line_error(sub, shape.sub_len, stored_line(b, scale0, min0), shape.q_max);
    for (int scale = std::max(scale0 - 2, 0); scale <= std::min(scale0 + 2, shape.scale_max); ++scale) {
      const int centre = best_min_for(sub, shape, b, scale, min0);
      for (int min = std::max(centre - 1, 0); min <= std::min(centre + 1, shape.scale_max); ++min) {
        const double error = line_error(sub, shape.sub_len, stored_line(b, scale, min), shape.q_max);
        if (error < best_error) {
          best_error = error;
          best_scale = scale;
          best_min = min;
        }
      }
    }
    b.scales[s] = static_cast<uint8_t>(best_scale);
    b.mins[s] = static_cast<uint8_t>(best_min);
    const Line line = stored_line(b, best_scale, best_min);
    const double inverse = line_inverse(line);
    for (int i = 0; i < shape.sub_len; ++i)
      b.q[s * shape.sub_len + i] = static_cast<uint8_t>(line_quant(sub[i], line, inverse, shape.q_max));
    total += best_error;
  }
  return total;
}

// Least squares for d and dmin over the whole block, integers and quants fixed.
void refit_halves(const double* x, const AffineShape& shape, AffineBlock& b) noexcept {
  double aa = 0, am = 0, mm = 0, xa = 0, xm = 0;  // value = d * a - dmin * m
  for (int i = 0; i < kSuperBlockLen; ++i) {
    const double a = b.scales[i / shape.sub_len] * b.q[i];
    const double m = b.mins[i / shape.sub_len];
    aa += a * a;
    am += a * m;
    mm += m * m;
    xa += x[i] * a;
    xm += x[i] * m;
  }
  const double det = aa * mm - am * am;
  double d = 0, dmin = 0;
  if (det > 0) {
    d = (xa * mm - xm * am) / det;
    dmin = (xa * am - xm * aa) / det;
  } else if (aa > 0) {
    d = xa / aa;
  }
  if (d > 0) b.d = saturating_half(d);
  if (dmin > 0) b.dmin = saturating_half(dmin);
}

// ---- symmetric blocks ----

double scale_error(const double* x, int n, double scale, int q_min, int q_max) noexcept {
  const double inverse = scale != 0 ? 1.0 / scale : 0.0;
  double sum = 0;
  for (int i = 0; i < n; ++i) {
    const double e = x[i] - scale * round_clamped(x[i] * inverse, q_min, q_max);
    sum += e * e;
  }
  return sum;
}

double refit_scale(const double* x, int n, double scale, int q_min, int q_max) noexcept {
  const double inverse = 1.0 / scale;
  double xq = 0, qq = 0;
  for (int i = 0; i < n; ++i) {
    const double q = round_clamped(x[i] * inverse, q_min, q_max);
    xq += x[i] * q;
    qq += q * q;
  }
  return qq > 0 && xq != 0 ? xq / qq : scale;
}

double best_scale(const double* x, int n, int q_min, int q_max) noexcept {
  double extreme = 0;
  for (int i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  if (extreme == 0) return 0;
  double best = 0, best_error = scale_error(x, n, 0, q_min, q_max);
  for (const int end : {q_min, q_max}) {  // the extreme value may lie at either end of the quants
    for (int c = 0; c < kCandidates; ++c) {
      const double shift = end < 0 ? -candidate_shift(c) : candidate_shift(c);
      const double scale = refit_scale(x, n, extreme / (end + shift), q_min, q_max);
      const double error = scale_error(x, n, scale, q_min, q_max);
      if (error < best_error) {
        best_error = error;
        best = scale;
      }
    }
  }
  return best;
}

double stored_scale(const SymmetricBlock& b, int scale) noexcept {
  return half_to_float(b.d) * static_cast<float>(scale);
}

double improve_integers(const double* x, const SymmetricShape& shape, SymmetricBlock& b) noexcept {
  double total = 0;
  for (int s = 0; s < shape.n_sub; ++s) {
    const double* sub = x + s * shape.sub_len;
    const int scale0 = b.scales[s];
    int best = scale0;
    double best_error = scale_error(sub, shape.sub_len, stored_scale(b, best), shape.q_min, shape.q_max);
    for (int scale = std::max(scale0 - 2, shape.scale_min); scale <= std::min(scale0 + 2, shape.scale_max);
         ++scale) {
      const double error = scale_error(sub, shape.sub_len, stored_scale(b, scale), shape.q_min, shape.q_max);
      if (error < best_error) {
        best_error = error;
        best = scale;
      }
    }
    b.scales[s] = static_cast<int8_t>(best);
    const double scale = stored_scale(b, best);
    const double inverse = scale != 0 ? 1.0 / scale : 0.0;
    for (int i = 0; i < shape.sub_len; ++i) {
      b.q[s * shape.sub_len + i] =
          static_cast<int8_t>(round_clamped(sub[i] * inverse, shape.q_min, shape.q_max));
    }
    total += best_error;
  }
  return total;
}

void refit_half(const double* x, const SymmetricShape& shape, SymmetricBlock& b) noexcept {
  double aa = 0, xa = 0;
  for (int i = 0; i < kSuperBlockLen; ++i) {
    const double a = b.scales[i / shape.sub_len] * b.q[i];
    aa += a * a;
    xa += x[i] * a;
  }
  if (aa > 0 && xa != 0) b.d = saturating_half(xa / aa);
}

void finite_doubles(const float* x, double* out) noexcept {
  for (int i = 0; i < kSuperBlockLen; ++i) out[i] = finite(x[i]);
}

}  // namespace

void fit_affine(const float* values, const AffineShape& shape, AffineBlock& out) noexcept {
  double x[kSuperBlockLen];
  finite_doubles(values, x);
  Line lines[kMaxSubBlocks];
  double max_scale = 0, max_min = 0;
  for (int s = 0; s < shape.n_sub; ++s) {
    lines[s] = best_line(x + s * shape.sub_len, shape.sub_len, shape.q_max);
    max_scale = std::max(max_scale, lines[s].scale);
    max_min = std::max(max_min, lines[s].min);
  }

  AffineBlock b{};
  b.d = saturating_half(max_scale / shape.scale_max);
  b.dmin = saturating_half(max_min / shape.scale_max);
  const double d = half_to_float(b.d), dmin = half_to_float(b.dmin);
  for (int s = 0; s < shape.n_sub; ++s) {
    b.scales[s] = static_cast<uint8_t>(d > 0 ? round_clamped(lines[s].scale / d, 0, shape.scale_max) : 0);
    b.mins[s] = static_cast<uint8_t>(dmin > 0 ? round_clamped(lines[s].min / dmin, 0, shape.scale_max) : 0);
  }

  double best_error = improve_integers(x, shape, b);
  out = b;
  for (int round = 0; round < kRefinements; ++round) {
    refit_halves(x, shape, b);
    const double error = improve_integers(x, shape, b);
    if (!(error < best_error)) break;
    best_error = error;
    out = b;
  }
}

void fit_symmetric(const float* values, const SymmetricShape& shape, SymmetricBlock& out) noexcept {
  double x[kSuperBlockLen];
  finite_doubles(values, x);
  double scales[kMaxSubBlocks];
  double largest = 0;
  for (int s = 0; s < shape.n_sub; ++s) {
    scales[s] = best_scale(x + s * shape.sub_len, shape.sub_len, shape.q_min, shape.q_max);
    if (std::fabs(scales[s]) > std::fabs(largest)) largest = scales[s];
  }

  SymmetricBlock b{};
  b.d = saturating_half(largest / shape.scale_min);  // the longer end of the integers
  const double d = half_to_float(b.d);
  for (int s = 0; s < shape.n_sub; ++s) {
    b.scales[s] =
        static_cast<int8_t>(d != 0 ? round_clamped(scales[s] / d, shape.scale_min, shape.scale_max) : 0);
  }

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
