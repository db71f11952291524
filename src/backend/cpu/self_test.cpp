#include "backend/cpu/self_test.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "backend/cpu/backend.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/layout.h"
#include "quant/format.h"

namespace moraine::cpu {
namespace {

constexpr int kK = 512, kGroups = 3, kRows = kGroups * kGroupRows, kMostTokens = 17;
constexpr size_t kMostFailures = 5;

struct Free {
  void operator()(uint8_t* p) const { std::free(p); }
};

// One format's weights and activations, fixed.
struct Problem {
  DType type;
  uint32_t width;  // of an activation block; 0: float
  std::unique_ptr<uint8_t, Free> groups;
  int64_t group_bytes;
  std::vector<float> weights, x;  // unpacked [kRows][kK]; [kMostTokens][kK]
  std::vector<int8_t> q;
  std::vector<float> d;
  std::vector<int16_t> sums;

  Problem(DType t, const Layout& layout) : type(t), width(layout.scale_width) {
    std::mt19937 engine(static_cast<uint32_t>(t) + 1);
    std::normal_distribution<float> normal;
    std::vector<float> w(size_t{kRows} * kK);
    for (float& v : w) v = 0.1f * normal(engine);
    x.resize(size_t{kMostTokens} * kK);
    for (float& v : x) v = normal(engine);

    const auto row_bytes = static_cast<int64_t>(dtype_bytes(t, kK));
    const size_t n_blocks = kK / info(t).block_len;
    std::vector<uint8_t> file(static_cast<size_t>(kRows * row_bytes));
    const quant::Format& format = *quant::find(t);
    format.pack_blocks(w.data(), kRows * n_blocks, file.data());
    weights.resize(w.size());
    format.unpack_blocks(file.data(), kRows * n_blocks, weights.data());
    group_bytes = kGroupRows * row_bytes;
    groups.reset(static_cast<uint8_t*>(std::aligned_alloc(64, (file.size() + 63) / 64 * 64)));
    if (!groups) throw std::bad_alloc();
    for (int g = 0; g < kGroups; ++g) {
      const uint8_t* rows[kGroupRows];
      for (int r = 0; r < kGroupRows; ++r) rows[r] = file.data() + (kGroupRows * g + r) * row_bytes;
      layout.interleave(rows, static_cast<int64_t>(n_blocks), groups.get() + g * group_bytes);
    }
    if (width == 0) return;
    q.resize(x.size());
    d.resize(x.size() / width);
    sums.resize(x.size() / 16);
    const QuantizeFn quantize = width == 32 ? scalar_kernels().quantize32 : scalar_kernels().quantize256;
    for (int m = 0; m < kMostTokens; ++m)
      quantize(&x[size_t{kK} * m], kK, &q[size_t{kK} * m], &d[size_t{kK} / width * m],
               &sums[size_t{kK} / 16 * m]);
  }

  std::vector<float> run(const Kernels& kernels, int n_tokens) const {
    std::vector<float> y(static_cast<size_t>(n_tokens) * kRows, -1);
    MatmulArgs a = {};
    a.w = groups.get();
    a.group_bytes = group_bytes;
    a.n_groups = kGroups;
    a.k = kK;
    a.n_rows = n_tokens;
    if (width)
      a.x = {q.data(), d.data(), sums.data(), kK, static_cast<int64_t>(kK / width), kK / 16};
    else
      a.xf = x.data(), a.xf_stride = kK;
    a.y = y.data();
    a.y_stride = kRows;
    kernels.matmul[static_cast<int>(type)](a);
    return y;
  }

  // The product of the first token's row with weight row `row`, in double precision.
  double expected(int row) const {
    double sum = 0;
    for (int i = 0; i < kK; ++i) {
      const double xi = width ? static_cast<double>(q[i]) * d[static_cast<size_t>(i) / width] : x[i];
      sum += xi * weights[size_t{kK} * row + i];
    }
    return sum;
  }
};

class Checks {
 public:
  explicit Checks(SelfTestResult& result) : result_(result) {}

  void same(const std::string& what, const std::vector<float>& got, const std::vector<float>& wanted) {
    ++result_.n_checks;
    for (size_t i = 0; i < wanted.size(); ++i)
      if (std::memcmp(&got[i], &wanted[i], sizeof(float)) != 0)
        return fail(fmt::format("{}: value {} is {}, not {}", what, i, got[i], wanted[i]));
  }
  void near(const std::string& what, double got, double wanted) {
    ++result_.n_checks;
    if (!(std::abs(got - wanted) <= 1e-3 + 1e-4 * std::abs(wanted)))
      fail(fmt::format("{}: {} is far from {}", what, got, wanted));
  }

 private:
  void fail(std::string text) {
    if (result_.failures.size() < kMostFailures) result_.failures.push_back(std::move(text));
  }
  SelfTestResult& result_;
};

void check_products(const Kernels& kernels, Checks& checks) {
  for (int t = 0; t < kNumTypes; ++t) {
    const auto type = static_cast<DType>(t);
    if (kernels.matmul[t] == nullptr || scalar_kernels().matmul[t] == nullptr) continue;
    const Layout* layout = find_layout(type);
    if (layout == nullptr || quant::find(type) == nullptr) continue;
    const Problem problem(type, *layout);
    for (const int n_tokens : {1, 5, kMostTokens})
      checks.same(fmt::format("matmul {} with {} rows", info(type).name, n_tokens),
                  problem.run(kernels, n_tokens), problem.run(scalar_kernels(), n_tokens));
    const std::vector<float> y = problem.run(kernels, 1);
    for (const int row : {0, kRows - 1})
      checks.near(fmt::format("matmul {}, row {}", info(type).name, row), y[static_cast<size_t>(row)],
                  problem.expected(row));
  }
}

void check_rows(const Kernels& kernels, Checks& checks) {
  std::mt19937 engine(7);
  std::normal_distribution<float> normal;
  std::vector<float> x(kK), w(kK);
  for (float& v : x) v = normal(engine);
  for (float& v : w) v = normal(engine);
  const auto both = [&](const char* what, auto&& run) {
    std::vector<float> a = x, b = x;
    run(kernels, a);
    run(scalar_kernels(), b);
    checks.same(what, a, b);
  };
  both("rms_norm",
       [&](const Kernels& k, std::vector<float>& y) { k.rms_norm(x.data(), w.data(), kK, 1e-6f, y.data()); });
  both("add_scaled",
       [&](const Kernels& k, std::vector<float>& y) { k.add_scaled(y.data(), w.data(), 0.3f, kK); });
  both("silu_mul", [&](const Kernels& k, std::vector<float>& y) { k.silu_mul(y.data(), w.data(), kK); });
  both("gelu_tanh_mul",
       [&](const Kernels& k, std::vector<float>& y) { k.gelu_tanh_mul(y.data(), w.data(), kK); });
  both("rope", [&](const Kernels& k, std::vector<float>& y) {
    k.rope(y.data(), w.data(), w.data() + kK / 2, kK / 2, 0);
  });
  both("l2_norm", [&](const Kernels& k, std::vector<float>& y) { k.l2_norm(y.data(), kK, 1e-6f, 0.5f); });
}

}  // namespace

std::vector<SelfTestResult> self_test() {
  std::vector<SelfTestResult> results;
  for (const std::string& isa : available_isas()) {
    SelfTestResult& result = results.emplace_back();
    result.isa = isa;
    Checks checks(result);
    const Kernels& kernels = select_kernels(isa);
    check_products(kernels, checks);
    check_rows(kernels, checks);
  }
  return results;
}

}  // namespace moraine::cpu
