// Attention kernels: every instruction set gives the scalar kernels' bits for any ranges of keys and any
// number of queries, whatever unseen slots hold; the scalar kernel agrees with a softmax in doubles.
#include <algorithm>
#include <limits>

#include "backend/cpu/kernels/scalar/math.h"
#include "backend/cpu/kernels/testing.h"

namespace moraine::cpu {
namespace {

using testing::Guarded;
using testing::Random;
using testing::same;

constexpr int kPageTokens = 256, kPages = 2;
constexpr float kInf = std::numeric_limits<float>::infinity();

// Bytes of one head's K or V in a page.
int page_bytes(int format, int hd) {
  return format == kKvF16 ? kPageTokens * hd * 2 : kPageTokens * hd / 32 * (format == kKvQ8_0 ? 34 : 18);
}

// Keys and values of one head in one partition; slots that nothing was stored to hold NaNs.
struct Cache {
  int hd, k_format, v_format;
  std::vector<Guarded<uint8_t>> k, v;
  std::vector<const uint8_t*> k_pages, v_pages;

  Cache(int head_dim, int kf, int vf) : hd(head_dim), k_format(kf), v_format(vf) {
    for (int p = 0; p < kPages; ++p) {
      k.emplace_back(page_bytes(kf, hd), 0xff);
      v.emplace_back(page_bytes(vf, hd), 0xff);
    }
    for (int p = 0; p < kPages; ++p) k_pages.push_back(k[p].data()), v_pages.push_back(v[p].data());
  }
  void store(const Kernels& kernels, int key, const float* kx, const float* vx) {
    kernels.store_k[k_format](kx, hd, key % kPageTokens, k[key / kPageTokens].data());
    kernels.store_v[v_format](vx, hd, key % kPageTokens, v[key / kPageTokens].data());
  }
};

struct State {
  std::vector<float> m, l;
  std::vector<Guarded<float>> o;
  State(int n_q, int hd) : m(n_q, -kInf), l(n_q, 0.0f) {
    for (int i = 0; i < n_q; ++i) o.emplace_back(hd, 0.0f);
  }
};

struct Queries {
  std::vector<Guarded<float>> q;
  std::vector<int32_t> lo, hi;

  void run(const Kernels& kernels, const Cache& c, int begin, int end, State& s, int first = 0,
           int n = -1) const {
    if (n < 0) n = static_cast<int>(q.size());
    std::vector<const float*> qp;
    std::vector<float*> op;
    for (int i = first; i < first + n; ++i) qp.push_back(q[i].data()), op.push_back(s.o[i].data());
    Guarded<float> scratch(attend_scratch_floats(c.hd), std::nanf(""));
    AttendArgs a = {};
    a.head_dim = c.hd;
    a.n_q = n;
    a.q = qp.data();
    a.lo = lo.data() + first;
    a.hi = hi.data() + first;
    a.begin = begin;
    a.end = end;
    a.k_pages = c.k_pages.data() + begin / kPageTokens;
    a.v_pages = c.v_pages.data() + begin / kPageTokens;
    a.m = s.m.data() + first;
    a.l = s.l.data() + first;
    a.o = op.data();
    a.scratch = scratch.data();
    kernels.attend[c.k_format][c.v_format](a);
  }
};

void expect_same(const State& a, const State& b) {
  ASSERT_TRUE(same(a.m.data(), b.m.data(), a.m.size()));
  ASSERT_TRUE(same(a.l.data(), b.l.data(), a.l.size()));
  for (size_t i = 0; i < a.o.size(); ++i) ASSERT_TRUE(same(a.o[i].data(), b.o[i].data(), a.o[i].size())) << i;
}

class Attention : public ::testing::TestWithParam<std::tuple<int, int>> {
 protected:
  int k_format() const { return std::get<0>(GetParam()); }
  int v_format() const { return std::get<1>(GetParam()); }
};

// Random queries over random parts of [begin, end); only what some query sees is stored.
Queries random_queries(Random& random, int n_q, int hd, int begin, int end, bool causal) {
  Queries qs;
  const int last = random.integer(begin, end);
  for (int i = 0; i < n_q; ++i) {
    qs.q.emplace_back(random.normals(hd, 0.3f));
    int lo = causal ? begin : random.integer(0, end),
        hi = causal ? last + i / 3 : random.integer(0, end + 64);
    qs.lo.push_back(lo);
    qs.hi.push_back(hi);
  }
  return qs;
}

TEST_P(Attention, SameBitsAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(1);
    for (const int hd : {32, 64, 96, 128, 256})
      for (int n_q = 1; n_q <= kMaxQueries; n_q += n_q < 13 ? 1 : 17) {
        const int begin = 64 * random.integer(0, 6), end = random.integer(begin + 1, kPages * kPageTokens);
        const Queries qs = random_queries(random, n_q, hd, begin, end, n_q % 2);
        Cache scalar_cache(hd, k_format(), v_format()), vector_cache(hd, k_format(), v_format());
        const int from = *std::min_element(qs.lo.begin(), qs.lo.end());
        const int to = std::min(end, *std::max_element(qs.hi.begin(), qs.hi.end()));
        for (int key = std::max(from, begin); key < to; ++key) {
          const std::vector<float> kx = random.normals(hd), vx = random.normals(hd);
          scalar_cache.store(scalar_kernels(), key, kx.data(), vx.data());
          vector_cache.store(*kernels, key, kx.data(), vx.data());
        }
        ASSERT_TRUE(scalar_cache.k == vector_cache.k);
        ASSERT_TRUE(scalar_cache.v == vector_cache.v);
        State expected(n_q, hd), got(n_q, hd), alone(n_q, hd);
        qs.run(scalar_kernels(), scalar_cache, begin, end, expected);
        qs.run(*kernels, scalar_cache, begin, end, got);
        SCOPED_TRACE(std::to_string(n_q) + " queries, head_dim " + std::to_string(hd));
        expect_same(got, expected);
        for (auto& o : got.o)
          for (const float v : o) ASSERT_FALSE(std::isnan(v)) << "an unseen slot was read";
        // Each query by itself, and the keys in two calls.
        const int split = begin + (end - begin) / 2 / 64 * 64;
        for (int i = 0; i < n_q; ++i) {
          if (split > begin) qs.run(*kernels, scalar_cache, begin, split, alone, i, 1);
          qs.run(*kernels, scalar_cache, split, end, alone, i, 1);
        }
        expect_same(alone, expected);
      }
  }
}

TEST_P(Attention, StoresAnyValueAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(2);
    const float odd[] = {0.0f,     -0.0f,    1e-8f,  6e-8f, 3e-5f, 65504.0f,
                         65519.0f, 65520.0f, -1e30f, kInf,  -kInf, std::nanf("")};
    for (int slot = 0; slot < kPageTokens; ++slot) {
      Cache a(64, k_format(), v_format()), b(64, k_format(), v_format());
      std::vector<float> x = random.normals(64);
      if (slot % 3) x[slot % 64] = odd[slot % std::size(odd)];
      a.store(scalar_kernels(), slot, x.data(), x.data());
      b.store(*kernels, slot, x.data(), x.data());
      ASSERT_TRUE(a.k == b.k) << slot;
      ASSERT_TRUE(a.v == b.v) << slot;
    }
  }
}

// Rotating keeps products, and is its own inverse; vector instruction sets do it with the same bits.
TEST(AttentionQ4_0, Rotation) {
  Random random(6);
  const std::vector<float> a = random.normals(96), b = random.normals(96);
  Guarded<float> ra(a), rb(b);
  scalar_kernels().rotate32(ra.data(), 96);
  scalar_kernels().rotate32(rb.data(), 96);
  for (int block = 0; block < 96; block += 32) {
    double plain = 0, rotated = 0;
    for (int i = block; i < block + 32; ++i) plain += double{a[i]} * b[i], rotated += double{ra[i]} * rb[i];
    EXPECT_NEAR(plain, rotated, 1e-5);
  }
  FOR_EACH_VECTOR_ISA(kernels) {
    Guarded<float> vector(a);
    kernels->rotate32(vector.data(), 96);
    EXPECT_TRUE(same(vector.data(), ra.data(), 96));
  }
  scalar_kernels().rotate32(ra.data(), 96);
  for (int i = 0; i < 96; ++i) EXPECT_NEAR(ra[i], a[i], 1e-5f);
}

// A q4_0 cache gives back every value on the grid that its largest spans, and others within half a step, or a
// whole one where +8 would be needed. Read through the scalar kernel: a key alone weighs its values by one,
// and a query of a unit vector scores one column of a (rotated) key.
TEST(AttentionQ4_0, ValuesComeBack) {
  Random random(5);
  const int hd = 32;
  for (int round = 0; round < 50; ++round) {
    std::vector<float> x = random.normals(hd);
    if (round % 2)
      for (float& v : x) v = static_cast<float>(random.integer(-8, 7)) * 0.25f;
    if (round % 2) x[round % hd] = -2.0f;  // -8 steps
    Guarded<float> key(x);
    scalar_kernels().rotate32(key.data(), hd);
    Cache cache(hd, kKvQ4_0, kKvQ4_0);
    cache.store(scalar_kernels(), 77, x.data(), x.data());
    const auto near = [](float got, int c, const float* values, bool on_grid) {
      float extreme = 0;
      for (int i = 0; i < 32; ++i)  // of two equal ones the negative
        if (std::abs(values[i]) > std::abs(extreme) || values[i] == -std::abs(extreme)) extreme = values[i];
      const float bound = on_grid ? 0.0f : std::signbit(values[c]) == std::signbit(extreme) ? 0.501f : 1.001f;
      EXPECT_NEAR(got, values[c], bound * std::abs(extreme) / 8 * 1.001f) << "column " << c;
    };
    for (int c = 0; c < hd; ++c) {
      Queries qs;
      std::vector<float> unit(hd, 0.0f);
      unit[c] = 1.0f;
      qs.q.emplace_back(unit);
      qs.lo = {77};
      qs.hi = {78};
      State s(1, hd);
      qs.run(scalar_kernels(), cache, 64, 128, s);
      near(s.m[0], c, key.data(), false);
      near(s.o[0][c], c, x.data(), round % 2);
    }
  }
}

// Scores that are not finite: the same answer, whatever it is.
TEST_P(Attention, NotFiniteAsScalar) {
  FOR_EACH_VECTOR_ISA(kernels) {
    Random random(3);
    const int hd = 64, n_q = 6;
    Cache cache(hd, kKvF16, kKvF16);
    for (int key = 0; key < 128; ++key) {
      std::vector<float> kx = random.normals(hd), vx = random.normals(hd);
      if (key % 16 == 3) kx[key % hd] = key % 32 == 3 ? kInf : std::nanf("");
      if (key % 32 == 9) vx[key % hd] = -kInf;
      cache.store(scalar_kernels(), key, kx.data(), vx.data());
    }
    Queries qs = random_queries(random, n_q, hd, 0, 128, true);
    for (int i = 0; i < n_q; ++i) qs.hi[i] = 128;
    std::fill(qs.q[1].begin(), qs.q[1].end(), 0.0f);
    std::fill(qs.q[2].begin(), qs.q[2].end(), std::nanf(""));
    State expected(n_q, hd), got(n_q, hd);
    qs.run(scalar_kernels(), cache, 0, 128, expected);
    qs.run(*kernels, cache, 0, 128, got);
    expect_same(got, expected);
  }
}

TEST_P(Attention, ScalarAgreesWithDoubles) {
  Random random(4);
  const int hd = 64, n_keys = 200;
  Cache cache(hd, k_format(), v_format());
  std::vector<std::vector<float>> kx, vx;
  for (int key = 0; key < n_keys; ++key) {
    kx.push_back(random.normals(hd));
    vx.push_back(random.normals(hd));
    cache.store(scalar_kernels(), key, kx[key].data(), vx[key].data());
  }
  Queries qs = random_queries(random, 3, hd, 0, n_keys, false);
  qs.lo = {0, 10, 150};
  qs.hi = {200, 77, 199};
  std::vector<std::vector<float>> plain;
  for (auto& q : qs.q) plain.emplace_back(q.data(), q.data() + hd);
  if (k_format() == kKvQ4_0)
    for (auto& q : qs.q) scalar_kernels().rotate32(q.data(), hd);
  State s(3, hd);
  qs.run(scalar_kernels(), cache, 0, n_keys, s);
  const auto of_format = [](int format) { return format == kKvF16 ? 1e-3 : format == kKvQ8_0 ? 2e-2 : 0.3; };
  const double tolerance = of_format(k_format()) + of_format(v_format());
  for (int i = 0; i < 3; ++i) {
    std::vector<double> o(hd, 0.0);
    double sum = 0;
    for (int key = qs.lo[i]; key < qs.hi[i]; ++key) {
      double score = 0;
      for (int c = 0; c < hd; ++c) score += double{plain[i][c]} * kx[key][c];
      sum += std::exp(score);
      for (int c = 0; c < hd; ++c) o[c] += std::exp(score) * vx[key][c];
    }
    for (int c = 0; c < hd; ++c) EXPECT_NEAR(s.o[i][c] / s.l[i], o[c] / sum, tolerance);
  }
}

std::string format_names(const ::testing::TestParamInfo<std::tuple<int, int>>& param) {
  const auto name = [](int format) { return format == kKvF16 ? "f16" : format == kKvQ8_0 ? "q8_0" : "q4_0"; };
  return std::string(name(std::get<0>(param.param))) + "_" + name(std::get<1>(param.param));
}

INSTANTIATE_TEST_SUITE_P(KvFormats, Attention,
                         ::testing::Combine(::testing::Values(kKvF16, kKvQ8_0, kKvQ4_0),
                                            ::testing::Values(kKvF16, kKvQ8_0, kKvQ4_0)),
                         format_names);

}  // namespace
}  // namespace moraine::cpu
