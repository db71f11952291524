// Gated DeltaNet's kernels: every instruction set gives the scalar kernels' bits, on sizes that do not fill
// a vector, on values that are not numbers, at any alignment; the scalar kernels agree with double
// precision; tokens given in one call equal tokens given one by one.
#include <algorithm>

#include "backend/cpu/kernels/testing.h"

namespace moraine::cpu {
namespace {

using testing::Guarded;
using testing::odd_values;
using testing::Random;
using testing::same;

const int kSizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 25, 63, 64, 65, 128, 200};

std::vector<float> values(Random& random, int n, bool odd) {
  return odd ? odd_values(random, n) : random.normals(n);
}

// ---- conv_silu

// n channels under n_taps taps; every row of inputs ends at a page that must not be touched.
struct Convolution {
  int n, n_taps, stride;
  Guarded<float> taps;
  std::vector<Guarded<float>> x;
  std::vector<const float*> rows;

  Convolution(Random& random, int channels, int tap_count, int padding, bool odd)
      : n(channels), n_taps(tap_count), stride(channels + padding) {
    taps = Guarded<float>(values(random, (n_taps - 1) * stride + n, odd));
    for (int i = 0; i < n_taps; ++i) x.emplace_back(values(random, n, odd));
    for (const auto& row : x) rows.push_back(row.data());
  }
  Guarded<float> run(const Kernels& k) const {
    Guarded<float> y(n);
    k.conv_silu(rows.data(), taps.data(), stride, n_taps, n, y.data());
    return y;
  }
};

TEST(ConvSilu, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(1);
    for (const int n : kSizes)
      for (int n_taps = 1; n_taps <= 8; ++n_taps)
        for (const bool odd : {false, true}) {
          const Convolution c(random, n, n_taps, random.integer(0, 5), odd);
          EXPECT_TRUE(same(c.run(*kernels).data(), c.run(scalar_kernels()).data(), n))
              << n << " channels, " << n_taps << " taps";
        }
  }
}

TEST(ConvSilu, ScalarAgreesWithDoubles) {
  Random random(2);
  const Convolution c(random, 65, 4, 3, false);
  const Guarded<float> y = c.run(scalar_kernels());
  for (int channel = 0; channel < c.n; ++channel) {
    double a = 0;
    for (int i = 0; i < c.n_taps; ++i) a += double{c.taps[i * c.stride + channel]} * c.x[i][channel];
    EXPECT_NEAR(y[channel], a / (1 + std::exp(-a)), 1e-6);
  }
}

// ---- l2_norm

TEST(L2Norm, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(3);
    for (const int n : kSizes)
      for (const float eps : {0.0f, 1e-6f})
        for (const bool odd : {false, true}) {
          const std::vector<float> start = values(random, n, odd);
          Guarded<float> expected(start), x(start);
          scalar_kernels().l2_norm(expected.data(), n, eps, 0.125f);
          kernels->l2_norm(x.data(), n, eps, 0.125f);
          EXPECT_TRUE(same(x.data(), expected.data(), n)) << n;
        }
    std::vector<float> zeros(17, 0.0f);  // with no eps: 0 / 0
    kernels->l2_norm(zeros.data(), 17, 1e-6f, 1.0f);
    EXPECT_EQ(zeros, std::vector<float>(17, 0.0f));
  }
}

TEST(L2Norm, ScalarAgreesWithDoubles) {
  Random random(4);
  const std::vector<float> x = random.normals(100);
  std::vector<float> y = x;
  scalar_kernels().l2_norm(y.data(), 100, 1e-6f, 0.1f);
  double squares = 1e-6;
  for (const float v : x) squares += double{v} * v;
  for (int i = 0; i < 100; ++i) EXPECT_NEAR(y[i], 0.1 * x[i] / std::sqrt(squares), 1e-6 * std::fabs(x[i]));
}

// ---- delta_tile

// Tokens for one tile. `shift` floats after each array move it off the alignment its end would give it.
struct Tokens {
  int head_k, n;
  int64_t qk_stride, v_stride, o_stride;
  Guarded<float> state, qk, v, decay, beta;

  Tokens(Random& random, int width, int n_tokens, int shift, bool odd)
      : head_k(width),
        n(n_tokens),
        qk_stride(2 * width + shift),
        v_stride(kDeltaTile + shift),
        o_stride(kDeltaTile + 2 * shift) {
    state = Guarded<float>(values(random, head_k * kDeltaTile + shift, odd));
    // q, k of a row side by side, as the driver has them; norms near one, or the state would explode
    qk = Guarded<float>(values(random, std::max<int>(n, 1) * qk_stride, odd));
    if (!odd)
      for (float& x : qk) x /= std::sqrt(static_cast<float>(head_k));
    v = Guarded<float>(values(random, std::max<int>(n, 1) * v_stride, odd));
    decay = Guarded<float>(values(random, n + shift, odd));
    beta = Guarded<float>(values(random, n + shift, odd));
    for (auto* factors : {&decay, &beta})
      for (float& x : *factors)
        if (!odd) x = 1 / (1 + std::exp(-x));
  }
  Tokens(Tokens&&) = default;
};

struct Result {
  Guarded<float> state, o;
};

// Tokens [0, n) in calls of at most `slice`.
Result run(const Kernels& k, const Tokens& t, int slice) {
  Result r{Guarded<float>(std::vector<float>(t.state.data(), t.state.data() + t.state.size())),
           Guarded<float>(std::max<size_t>(1, t.n * t.o_stride), -1.0f)};
  for (int at = 0; at < t.n; at += slice) {
    DeltaArgs a = {};
    a.s = r.state.data();
    a.head_k = t.head_k;
    a.n_tokens = std::min(slice, t.n - at);
    a.q = t.qk.data() + at * t.qk_stride, a.k = a.q + t.head_k;
    a.qk_stride = t.qk_stride;
    a.v = t.v.data() + at * t.v_stride;
    a.v_stride = t.v_stride;
    a.decay = t.decay.data() + at, a.beta = t.beta.data() + at;
    a.o = r.o.data() + at * t.o_stride;
    a.o_stride = t.o_stride;
    k.delta_tile(a);
  }
  return r;
}

::testing::AssertionResult same(const Result& a, const Result& b) {
  const auto state = same(a.state.data(), b.state.data(), a.state.size());
  return state ? same(a.o.data(), b.o.data(), a.o.size()) : state;
}

const int kWidths[] = {4, 8, 12, 16, 60, 64, 100, 128, 192, 256};

TEST(DeltaTile, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(5);
    for (const int head_k : kWidths)
      for (const int n : {0, 1, 2, 15, 16, 17})
        for (const int shift : {0, 1, 3})
          for (const bool odd : {false, true}) {
            const Tokens t(random, head_k, n, shift, odd);
            EXPECT_TRUE(same(run(*kernels, t, 40), run(scalar_kernels(), t, 40)))
                << head_k << " wide, " << n << " tokens, shift " << shift << (odd ? ", odd values" : "");
          }
  }
}

TEST(DeltaTile, DoesNotDependOnTheSplitIntoCalls) {
  std::vector<const Kernels*> all = testing::vector_kernels();
  all.push_back(&scalar_kernels());
  for (const Kernels* kernels : all) {
    Random random(6);
    for (int n = 1; n <= 40; ++n) {
      const Tokens t(random, kWidths[n % std::size(kWidths)], n, n % 3, n % 5 == 0);
      const Result whole = run(*kernels, t, n);
      for (const int slice : {1, 3, 16})
        EXPECT_TRUE(same(run(*kernels, t, slice), whole)) << kernels->isa << ", " << n << " by " << slice;
    }
  }
}

TEST(DeltaTile, ScalarAgreesWithDoubles) {
  Random random(7);
  for (const int head_k : kWidths) {
    const Tokens t(random, head_k, 40, 1, false);
    const Result got = run(scalar_kernels(), t, 40);
    std::vector<double> s(t.state.data(), t.state.data() + head_k * kDeltaTile);
    const auto dot = [&](const float* x, int i) {
      double sum = 0;
      for (int c = 0; c < head_k; ++c) sum += s[c * kDeltaTile + i] * x[c];
      return sum;
    };
    for (int row = 0; row < t.n; ++row) {
      const float *q = t.qk.data() + row * t.qk_stride, *k = q + head_k;
      for (int i = 0; i < kDeltaTile; ++i) {
        const double u = t.beta[row] * (t.v[row * t.v_stride + i] - t.decay[row] * dot(k, i));
        for (int c = 0; c < head_k; ++c)
          s[c * kDeltaTile + i] = t.decay[row] * s[c * kDeltaTile + i] + u * k[c];
        EXPECT_NEAR(got.o[row * t.o_stride + i], dot(q, i), 1e-5) << head_k << " wide, token " << row;
      }
    }
    for (int i = 0; i < head_k * kDeltaTile; ++i) EXPECT_NEAR(got.state[i], s[i], 1e-5);
  }
}

TEST(DeltaTile, WritesNothingBeyondItsColumns) {
  std::vector<const Kernels*> all = testing::vector_kernels();
  all.push_back(&scalar_kernels());
  for (const Kernels* kernels : all) {
    Random random(8);
    const Tokens t(random, 64, 9, 3, false);
    const Result r = run(*kernels, t, 9);
    for (int row = 0; row < t.n; ++row)
      for (int64_t i = kDeltaTile; i < t.o_stride; ++i) EXPECT_EQ(r.o[row * t.o_stride + i], -1.0f);
    for (size_t i = 64 * kDeltaTile; i < r.state.size(); ++i) EXPECT_EQ(r.state[i], t.state[i]);
  }
}

}  // namespace
}  // namespace moraine::cpu
