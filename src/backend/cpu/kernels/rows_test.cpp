// Row-wise kernels: every instruction set gives the scalar kernels' bits, on sizes that do not fill a
// vector and on values that are not numbers; the scalar kernels agree with double precision.
#include <algorithm>

#include "backend/cpu/kernels/scalar/math.h"
#include "backend/cpu/kernels/testing.h"

namespace moraine::cpu {
namespace {

using testing::Guarded;
using testing::kInf;
using testing::kOddValues;
using testing::odd_values;
using testing::Random;
using testing::same;

struct Quantized {
  Guarded<int8_t> q;
  Guarded<float> d;
  Guarded<int16_t> sums;

  Quantized(QuantizeFn f, int width, const std::vector<float>& x)
      : q(x.size()), d(x.size() / width), sums(x.size() / 16) {
    f(Guarded<float>(x).data(), static_cast<int32_t>(x.size()), q.data(), d.data(), sums.data());
  }
};

void compare_quantize(const Kernels& kernels, const std::vector<float>& x) {
  for (const int width : {32, 256}) {
    const Quantized expected(width == 32 ? scalar_kernels().quantize32 : scalar_kernels().quantize256, width,
                             x);
    const Quantized got(width == 32 ? kernels.quantize32 : kernels.quantize256, width, x);
    EXPECT_TRUE(got.q == expected.q) << width;
    EXPECT_TRUE(same(got.d.data(), expected.d.data(), got.d.size())) << width;
    EXPECT_TRUE(got.sums == expected.sums) << width;
  }
}

TEST(Quantize, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(1);
    for (const float sigma : {1e-42f, 1e-38f, 1e-3f, 1.0f, 1e30f})
      compare_quantize(*kernels, random.normals(2048, sigma));
    for (int i = 0; i < 20; ++i) compare_quantize(*kernels, odd_values(random, 1024));
    for (const float v : kOddValues) compare_quantize(*kernels, std::vector<float>(256, v));
    // Half-way values: 127 sets the scale to 1.
    std::vector<float> ties(256);
    for (int i = 0; i < 256; ++i) ties[i] = static_cast<float>(i % 127) - 63.5f;
    ties[0] = ties[32] = ties[64] = ties[96] = ties[128] = ties[160] = ties[192] = ties[224] = 127.0f;
    compare_quantize(*kernels, ties);
  }
}

TEST(Quantize, HalfAStepFromTheValue) {
  Random random(2);
  const std::vector<float> x = random.normals(512);
  const Quantized got(scalar_kernels().quantize32, 32, x);
  for (size_t i = 0; i < x.size(); ++i) {
    const float d = got.d[i / 32];
    EXPECT_NEAR(d * got.q[i], x[i], 0.5001f * d);
  }
  for (size_t s = 0; s < got.sums.size(); ++s) {
    int sum = 0;
    for (int i = 0; i < 16; ++i) sum += got.q[16 * s + i];
    EXPECT_EQ(got.sums[s], sum);
  }
}

TEST(Quantize, ZeroBlockIsZero) {
  const Quantized got(scalar_kernels().quantize32, 32, std::vector<float>(32, 0.0f));
  EXPECT_EQ(got.d[0], 0.0f);
  EXPECT_TRUE(got.q == Guarded<int8_t>(32, 0));
}

const int kSizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 25, 63, 64, 65, 576, 640, 1000};

TEST(RmsNorm, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(3);
    for (const int n : kSizes)
      for (const float eps : {0.0f, 1e-6f, 1e-5f}) {
        const Guarded<float> x(random.normals(n, 3.0f)), w(random.normals(n));
        Guarded<float> expected(n), y(n);
        scalar_kernels().rms_norm(x.data(), w.data(), n, eps, expected.data());
        kernels->rms_norm(x.data(), w.data(), n, eps, y.data());
        EXPECT_TRUE(same(y.data(), expected.data(), n)) << n;
      }
    const std::vector<float> odd = odd_values(random, 100);
    std::vector<float> expected(100), y(100);
    scalar_kernels().rms_norm(odd.data(), odd.data(), 100, 1e-5f, expected.data());
    kernels->rms_norm(odd.data(), odd.data(), 100, 1e-5f, y.data());
    EXPECT_TRUE(same(y.data(), expected.data(), 100));
  }
}

TEST(RmsNorm, ScalarAgreesWithDoubles) {
  Random random(4);
  const std::vector<float> x = random.normals(577), w = random.normals(577);
  double squares = 0;
  for (const float v : x) squares += double{v} * v;
  std::vector<float> y(577);
  scalar_kernels().rms_norm(x.data(), w.data(), 577, 1e-5f, y.data());
  for (int i = 0; i < 577; ++i) {
    const double expected = x[i] / std::sqrt(squares / 577 + 1e-5) * w[i];
    EXPECT_NEAR(y[i], expected, 1e-6 * std::fabs(expected));
  }
}

// Kernels of the form y[i] = f(y[i], x[i]).
template <class Scalar, class Vector>
void compare_binary_with(Scalar scalar, Vector vector) {
  Random random(5);
  for (const int n : kSizes) {
    const Guarded<float> x(random.normals(n));
    const std::vector<float> start = n % 2 ? odd_values(random, n) : random.normals(n, 5.0f);
    Guarded<float> expected(start), y(start);
    scalar(expected.data(), x.data(), n);
    vector(y.data(), x.data(), n);
    EXPECT_TRUE(same(y.data(), expected.data(), n)) << n;
  }
  const std::vector<float> ones(std::size(kOddValues), 1.0f);
  std::vector<float> expected(std::begin(kOddValues), std::end(kOddValues)), y = expected;
  scalar(expected.data(), ones.data(), static_cast<int32_t>(y.size()));
  vector(y.data(), ones.data(), static_cast<int32_t>(y.size()));
  EXPECT_TRUE(same(y.data(), expected.data(), y.size()));
}

using BinaryFn = void (*)(float*, const float*, int32_t) noexcept;
void compare_binary(BinaryFn scalar, BinaryFn vector) { compare_binary_with(scalar, vector); }

TEST(Add, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) compare_binary(scalar_kernels().add, kernels->add);
}
TEST(SiluMul, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) compare_binary(scalar_kernels().silu_mul, kernels->silu_mul);
}
TEST(GeluTanhMul, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) compare_binary(scalar_kernels().gelu_tanh_mul, kernels->gelu_tanh_mul);
}

// y = f(y, x) with one x for every value or one for all.
using GateFn = void (*)(float*, const float*, int32_t, int32_t) noexcept;

void compare_gate(GateFn scalar, GateFn vector) {
  compare_binary_with([=](float* y, const float* g, int32_t n) { scalar(y, g, n, 1); },
                      [=](float* y, const float* g, int32_t n) { vector(y, g, n, 1); });
  Random random(8);
  for (const int n : kSizes)
    for (const float value : kOddValues) {
      const Guarded<float> g(std::vector<float>{value});
      const std::vector<float> start = odd_values(random, n);
      Guarded<float> expected(start), y(start);
      scalar(expected.data(), g.data(), n, 0);
      vector(y.data(), g.data(), n, 0);
      EXPECT_TRUE(same(y.data(), expected.data(), n)) << n << " values, gate " << value;
    }
}

TEST(SiluGate, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) compare_gate(scalar_kernels().silu_gate, kernels->silu_gate);
}
TEST(SigmoidGate, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) compare_gate(scalar_kernels().sigmoid_gate, kernels->sigmoid_gate);
}

TEST(AddScaled, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    for (const float s : kOddValues)
      compare_binary_with(
          [=](float* y, const float* x, int32_t n) { scalar_kernels().add_scaled(y, x, s, n); },
          [=](float* y, const float* x, int32_t n) { kernels->add_scaled(y, x, s, n); });
  }
}

TEST(AddScaled, RoundsOnce) {
  float y = 1.0f;
  const float x = 1.0f + 0x1p-12f;  // its square needs 25 bits, of which a product alone would lose the last
  scalar_kernels().add_scaled(&y, &x, -x, 1);
  EXPECT_EQ(y, -(0x1p-11f + 0x1p-24f));
}

TEST(Gates, ScalarAgreesWithDoubles) {
  for (float g = -30.0f; g < 30.0f; g += 0.37f) {
    float silu = 1.5f, sigmoid = 1.5f;
    scalar_kernels().silu_gate(&silu, &g, 1, 1);
    scalar_kernels().sigmoid_gate(&sigmoid, &g, 1, 1);
    const double expected = 1.5 / (1.0 + std::exp(-double{g}));
    EXPECT_NEAR(sigmoid, expected, 1e-6 * std::fabs(expected)) << g;
    EXPECT_NEAR(silu, g * expected, 1e-6 * std::fabs(g * expected)) << g;
  }
}

TEST(Gates, OneForAllEqualsAnArrayOfIt) {
  Random random(9);
  const std::vector<float> start = odd_values(random, 100);
  for (const float value : {-3.0f, 0.7f, 20.0f}) {
    const std::vector<float> g(100, value);
    for (GateFn f : {scalar_kernels().silu_gate, scalar_kernels().sigmoid_gate}) {
      std::vector<float> one = start, all = start;
      f(one.data(), &value, 100, 0);
      f(all.data(), g.data(), 100, 1);
      EXPECT_TRUE(same(one.data(), all.data(), 100)) << value;
    }
  }
}

TEST(SiluMul, ScalarAgreesWithDoubles) {
  for (float g = -30.0f; g < 30.0f; g += 0.37f) {
    const float up = 1.5f;
    float y = g;
    scalar_kernels().silu_mul(&y, &up, 1);
    const double expected = g / (1.0 + std::exp(-double{g})) * up;
    EXPECT_NEAR(y, expected, 1e-6 * std::fabs(expected)) << g;
  }
}

TEST(GeluTanhMul, ScalarAgreesWithDoubles) {
  for (float g = -8.0f; g < 8.0f; g += 0.11f) {
    const float up = -0.7f;
    float y = g;
    scalar_kernels().gelu_tanh_mul(&y, &up, 1);
    const double x = g, inner = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
    EXPECT_NEAR(y, x / (1.0 + std::exp(-2.0 * inner)) * up, 2e-6) << g;
  }
}

TEST(Rope, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(6);
    for (const int n_pairs : {1, 2, 3, 4, 5, 7, 8, 9, 16, 20, 32, 64, 128})
      for (const int kind : {0, 1}) {
        const std::vector<float> start = random.normals(2 * n_pairs);
        Guarded<float> cos(n_pairs), sin(n_pairs), expected(start), x(start);
        for (int i = 0; i < n_pairs; ++i) {
          const float angle = random.normal(10.0f);
          cos[i] = std::cos(angle), sin[i] = std::sin(angle);
        }
        scalar_kernels().rope(expected.data(), cos.data(), sin.data(), n_pairs, kind);
        kernels->rope(x.data(), cos.data(), sin.data(), n_pairs, kind);
        EXPECT_TRUE(same(x.data(), expected.data(), x.size())) << n_pairs << " pairs, kind " << kind;
      }
  }
}

TEST(Rope, PairsByKind) {
  const float cos[2] = {0.0f, 1.0f}, sin[2] = {1.0f, 0.0f};  // a quarter turn, then none
  float halves[4] = {1, 2, 3, 4}, neighbours[4] = {1, 2, 3, 4};
  scalar_kernels().rope(halves, cos, sin, 2, 0);
  scalar_kernels().rope(neighbours, cos, sin, 2, 1);
  const float expected_halves[4] = {-3, 2, 1, 4}, expected_neighbours[4] = {-2, 1, 3, 4};
  EXPECT_TRUE(same(halves, expected_halves, 4));
  EXPECT_TRUE(same(neighbours, expected_neighbours, 4));
}

TEST(Exp, BelowTwoUlp) {
  double worst = 0;
  for (double x = -87.3; x <= 88.0; x += 0.00137) {
    const float f = static_cast<float>(x);
    const double expected = std::exp(double{f});
    const float nearest = static_cast<float>(expected);
    const double ulp = double{std::nextafter(nearest, kInf)} - nearest;
    worst = std::max(worst, std::fabs(exp_spec(f) - expected) / ulp);
  }
  EXPECT_LT(worst, 2.0);
  EXPECT_EQ(exp_spec(0.0f), 1.0f);
  EXPECT_EQ(exp_spec(-0.0f), 1.0f);
  EXPECT_EQ(exp_spec(-88.0f), 0.0f);
  EXPECT_EQ(exp_spec(-kInf), 0.0f);
  EXPECT_TRUE(std::isfinite(exp_spec(88.3f)));
}

TEST(Half, ScalarConversionsAreExact) {
  for (int h = 0; h < 0x10000; ++h) {
    const float f = half_to_float(static_cast<uint16_t>(h));
    if (std::isnan(f)) {
      EXPECT_TRUE((h & 0x7c00) == 0x7c00 && (h & 0x3ff));
    } else {
      EXPECT_EQ(float_to_half(f), h);
    }
  }
}

}  // namespace
}  // namespace moraine::cpu
