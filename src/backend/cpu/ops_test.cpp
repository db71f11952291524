// Experts, Gated DeltaNet and gates, each as a small plan on the CPU backend: against double precision
// written from plan.h's definitions, and with the same bytes for every instruction set, number of threads
// and cut of rows into steps. Kernels by themselves: kernels/*_test.cpp; whole models: tests/model.
#include <algorithm>
#include <limits>
#include <numeric>

#include "backend/cpu/ops_testing.h"

namespace moraine::cpu {
namespace {

using testing::all_rows;
using testing::close;
using testing::Floats;
using testing::Matrix;
using testing::normals;
using testing::OpRunner;
using testing::same_bytes;
using testing::Setting;
using testing::Token;
using testing::Weights;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// ---- Experts

using FillRouter = void (*)(std::mt19937& rng, int row, std::vector<float>& logits);

void random_logits(std::mt19937& rng, int, std::vector<float>& logits) {
  logits = normals(rng, logits.size(), 2.0f);
}
void all_equal(std::mt19937&, int, std::vector<float>& logits) {
  std::fill(logits.begin(), logits.end(), 0.5f);
}
// Two values only: what is chosen is mostly decided by the index.
void many_ties(std::mt19937& rng, int, std::vector<float>& logits) {
  for (float& l : logits) l = rng() % 3 == 0 ? 1.0f : 0.0f;
}
void one_favourite(std::mt19937& rng, int, std::vector<float>& logits) {
  logits = normals(rng, logits.size());
  logits[logits.size() - 2] = 9.0f;
}

struct MoeCase {
  const char* name;
  int n_embd = 64, n_ff = 32, n_experts = 8, top_k = 3, n_rows = 40;
  DType gate = DType::kF32, up = DType::kF32, down = DType::kF32;
  bool normalise = true;
  FillRouter router = random_logits;
  plan::Activation act = plan::Activation::kSilu;
};

class Experts {
 public:
  explicit Experts(const MoeCase& c) : c_(c) {
    std::mt19937 rng(11);
    in_ = w_.matrix(DType::kF32, c.n_embd, c.n_rows, normals(rng, size_t(c.n_embd) * c.n_rows));
    std::vector<float> logits, row(c.n_experts);
    for (int r = 0; r < c.n_rows; ++r) {
      c.router(rng, r, row);
      logits.insert(logits.end(), row.begin(), row.end());
    }
    router_ = w_.matrix(DType::kF32, c.n_experts, c.n_rows, logits);
    op_.gate = w_.random(rng, c.gate, c.n_embd, c.n_experts * c.n_ff);
    op_.up = w_.random(rng, c.up, c.n_embd, c.n_experts * c.n_ff);
    op_.down = w_.random(rng, c.down, c.n_ff, c.n_experts * c.n_embd);
    op_.n_experts = c.n_experts, op_.top_k = c.top_k, op_.n_ff = c.n_ff;
    op_.normalise = c.normalise;
    op_.act = c.act;
  }

  OpRunner runner(const Setting& s) const {
    return OpRunner(w_, [&](plan::Builder& b) { return b.moe(b.embed(in_), b.embed(router_), op_); }, s);
  }
  bool all_float() const {
    const auto is_float = [](DType t) { return !info(t).quantized; };
    return is_float(c_.gate) && is_float(c_.up) && is_float(c_.down);
  }

  Matrix expected() const {
    Matrix out;
    for (int r = 0; r < c_.n_rows; ++r) {
      const float* logits = w_.row(router_, r);
      std::vector<int> order(c_.n_experts);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return logits[a] > logits[b]; });
      double sum = 0;
      for (int j = 0; j < (c_.normalise ? c_.top_k : c_.n_experts); ++j)
        sum += std::exp(double{logits[order[j]]});
      out.emplace_back(c_.n_embd, 0.0);
      for (int j = 0; j < c_.top_k; ++j)
        add_expert(r, order[j], std::exp(double{logits[order[j]]}) / sum, out[r]);
    }
    return out;
  }

 private:
  static double dot(const float* w, const float* x, int n) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += double{w[i]} * x[i];
    return sum;
  }
  void add_expert(int r, int e, double p, std::vector<double>& out) const {
    std::vector<double> hidden(c_.n_ff);
    for (int i = 0; i < c_.n_ff; ++i) {
      const int64_t row = int64_t{e} * c_.n_ff + i;
      const double g = dot(w_.row(op_.gate, row), w_.row(in_, r), c_.n_embd);
      const double u = dot(w_.row(op_.up, row), w_.row(in_, r), c_.n_embd);
      const double tanh = std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g));
      hidden[i] = (c_.act == plan::Activation::kSilu ? g * sigmoid(g) : g * 0.5 * (1 + tanh)) * u;
    }
    for (int i = 0; i < c_.n_embd; ++i) {
      const float* w = w_.row(op_.down, int64_t{e} * c_.n_embd + i);
      for (int j = 0; j < c_.n_ff; ++j) out[i] += p * w[j] * hidden[j];
    }
  }

  MoeCase c_;
  Weights w_;
  plan::WeightId in_, router_;
  plan::Moe op_ = {};
};

class MoeOp : public ::testing::TestWithParam<MoeCase> {};

TEST_P(MoeOp, IsWhatThePlanSays) {
  const MoeCase& c = GetParam();
  const Experts experts(c);
  const auto tokens = all_rows(c.n_rows);
  const Floats whole = experts.runner({}).run(tokens);
  // Activations of eight bits against none: about 0.7% for each of the two products.
  EXPECT_TRUE(close(whole, experts.expected(), experts.all_float() ? 1e-5 : 0.03));
  for (const std::string& isa : available_isas())
    EXPECT_TRUE(same_bytes(whole, experts.runner({isa}).run(tokens))) << isa;
  for (const int threads : {1, 3})
    EXPECT_TRUE(same_bytes(whole, experts.runner({"", threads}).run(tokens))) << threads << " threads";
  // Fewer rows at most: the result's columns are cut elsewhere.
  EXPECT_TRUE(same_bytes(whole, experts.runner({"", 2, 7}).run(tokens, {1, 7, 3})));
  // And where there is room for more, by the rows of each step.
  EXPECT_TRUE(same_bytes(whole, experts.runner({}).run(tokens, {1, c.n_rows / 2, 5})));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, MoeOp,
    ::testing::Values(
        MoeCase{.name = "f32"}, MoeCase{.name = "not_normalised", .normalise = false},
        MoeCase{.name = "gelu", .act = plan::Activation::kGeluTanh},
        MoeCase{.name = "odd_widths", .n_embd = 40, .n_ff = 24, .n_experts = 5},
        MoeCase{.name = "one_of_many", .top_k = 1}, MoeCase{.name = "one_expert", .n_experts = 1, .top_k = 1},
        MoeCase{.name = "every_expert", .n_experts = 6, .top_k = 6},
        MoeCase{.name = "every_expert_not_normalised", .n_experts = 6, .top_k = 6, .normalise = false},
        MoeCase{.name = "all_equal", .router = all_equal},
        MoeCase{.name = "ties", .n_rows = 60, .router = many_ties},
        MoeCase{
            .name = "favourite", .top_k = 2, .n_rows = 200, .router = one_favourite},  // tiles of 64 pairs
        MoeCase{.name = "only_favourite", .top_k = 1, .n_rows = 129, .router = one_favourite},
        MoeCase{.name = "qwen3next",
                .n_ff = 32,
                .n_experts = 512,
                .top_k = 10,
                .n_rows = 33,
                .gate = DType::kQ8_0,
                .up = DType::kQ8_0,
                .down = DType::kQ8_0},
        MoeCase{.name = "q4_k_m",
                .n_embd = 256,
                .n_ff = 256,
                .gate = DType::kQ4_K,
                .up = DType::kQ4_K,
                .down = DType::kQ6_K},
        MoeCase{.name = "narrow_ff",
                .n_embd = 256,
                .n_ff = 288,
                .n_experts = 4,
                .gate = DType::kQ5_K,
                .up = DType::kQ5_K,
                .down = DType::kIQ4_NL},
        MoeCase{.name = "gate_256_up_32",
                .n_embd = 256,
                .n_ff = 96,
                .n_experts = 4,
                .gate = DType::kQ4_K,
                .up = DType::kQ8_0,
                .down = DType::kQ5_1},
        MoeCase{.name = "gate_32_up_256",
                .n_embd = 512,
                .n_ff = 64,
                .n_experts = 4,
                .gate = DType::kQ5_0,
                .up = DType::kQ6_K,
                .down = DType::kF16},
        MoeCase{.name = "gate_32_up_float",
                .n_embd = 96,
                .gate = DType::kQ8_0,
                .up = DType::kBF16,
                .down = DType::kQ4_1},
        MoeCase{.name = "gate_float_up_32",
                .n_embd = 96,
                .gate = DType::kF16,
                .up = DType::kMXFP4,
                .down = DType::kQ8_0},
        // 512 * 16 pairs: the result is summed 512 columns at a time, then 64.
        MoeCase{.name = "column_slices",
                .n_embd = 576,
                .n_ff = 32,
                .n_experts = 18,
                .top_k = 16,
                .n_rows = 300,
                .gate = DType::kQ8_0,
                .up = DType::kQ8_0,
                .down = DType::kQ8_0},
        MoeCase{.name = "column_slices_float",
                .n_embd = 520,
                .n_ff = 8,
                .n_experts = 16,
                .top_k = 16,
                .n_rows = 200}),
    [](const auto& info) { return std::string(info.param.name); });

// Logits that are not numbers: chosen experts stay in range, and other rows keep their bytes.
TEST(Moe, OddLogitsHurtNobodyElse) {
  MoeCase c{.name = "odd", .n_experts = 16, .top_k = 4};
  const Floats clean = Experts(c).runner({}).run(all_rows(c.n_rows));
  c.router = [](std::mt19937& rng, int row, std::vector<float>& logits) {
    random_logits(rng, row, logits);
    constexpr float kInf = std::numeric_limits<float>::infinity();
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    switch (row) {
      case 0:
        std::fill(logits.begin(), logits.end(), kNan);
        break;
      case 1:
        std::fill(logits.begin(), logits.end(), -kInf);
        break;
      case 2:
        std::fill(logits.begin(), logits.end(), kInf);
        break;
      case 3:
        logits[0] = kNan;
        break;
      case 4:
        logits[5] = kNan, logits[15] = kInf;
        break;
      case 5:
        logits[7] = -kInf;
        break;
      case 6:
        std::fill(logits.begin() + 2, logits.end(), kNan);
        break;
      case 7:
        std::fill(logits.begin(), logits.end(), 3e38f), logits[3] = -3e38f;
        break;
    }
  };
  const Floats got = Experts(c).runner({}).run(all_rows(c.n_rows));
  EXPECT_TRUE(same_bytes(Floats(got.begin() + 8, got.end()), Floats(clean.begin() + 8, clean.end())));
  for (const std::string& isa : available_isas())
    EXPECT_TRUE(same_bytes(got, Experts(c).runner({isa}).run(all_rows(c.n_rows), {1}))) << isa;
  for (int r = 0; r < 8; ++r)
    for (const float y : got[r]) EXPECT_TRUE(std::isfinite(y)) << "row " << r;
}

// An input that is not a number: its row is lost, the others are not.
TEST(Moe, OddInputsHurtNobodyElse) {
  for (const DType t : {DType::kF32, DType::kQ8_0}) {
    Weights w;
    std::mt19937 rng(5);
    std::vector<float> in = normals(rng, 8 * 64);
    const std::vector<float> clean_in = in;
    in[0] = std::numeric_limits<float>::quiet_NaN(), in[64] = std::numeric_limits<float>::infinity();
    const plan::WeightId odd = w.matrix(DType::kF32, 64, 8, in);
    const plan::WeightId clean = w.matrix(DType::kF32, 64, 8, clean_in);
    const plan::WeightId router = w.matrix(DType::kF32, 4, 8, normals(rng, 8 * 4));
    plan::Moe op = {};
    op.gate = w.random(rng, t, 64, 4 * 32), op.up = w.random(rng, t, 64, 4 * 32);
    op.down = w.random(rng, t, 32, 4 * 64);
    op.n_experts = 4, op.top_k = 2, op.n_ff = 32, op.normalise = true;
    const auto run = [&](plan::WeightId id) {
      OpRunner runner(w, [&](plan::Builder& b) { return b.moe(b.embed(id), b.embed(router), op); }, {});
      const Floats all = runner.run(all_rows(8));
      return Floats(all.begin() + 2, all.end());
    };
    EXPECT_TRUE(same_bytes(run(odd), run(clean))) << info(t).name;
  }
}

// ---- Gated DeltaNet

struct DeltaCase {
  const char* name;
  int n_k_heads = 2, n_v_heads = 4, head_k = 32, head_v = 32, n_taps = 4;
  bool tiled = false;
  int n_layers = 1;
};

constexpr int kRows = 70;  // of each sequence's inputs

// n_layers ops side by side on the same inputs, each with weights and a state of its own; their sum.
class DeltaNets {
 public:
  explicit DeltaNets(const DeltaCase& c, int n_sequences = 1) : c_(c), n_sequences_(n_sequences) {
    std::mt19937 rng(21);
    const int rows = kRows * n_sequences, n = 2 * c.n_k_heads * c.head_k + c.n_v_heads * c.head_v;
    qkv_ = w_.matrix(DType::kF32, n, rows, normals(rng, size_t(n) * rows));
    a_ = w_.matrix(DType::kF32, c.n_v_heads, rows, normals(rng, size_t(c.n_v_heads) * rows, 3.0f));
    b_ = w_.matrix(DType::kF32, c.n_v_heads, rows, normals(rng, size_t(c.n_v_heads) * rows, 2.0f));
    for (int layer = 0; layer < c.n_layers; ++layer) {
      plan::GatedDeltaNet g = {};
      g.conv = w_.vector(c.n_taps, n, normals(rng, size_t(n) * c.n_taps, 0.6f));
      std::vector<float> a_scale = normals(rng, c.n_v_heads);
      for (float& x : a_scale) x = -std::exp(x - 2.0f);
      g.a_scale = w_.vector(c.n_v_heads, 1, a_scale);
      std::vector<float> dt_bias = normals(rng, c.n_v_heads);
      dt_bias[0] = 25.0f;  // softplus is the identity from 20 on
      g.dt_bias = w_.vector(c.n_v_heads, 1, dt_bias);
      g.layer = layer;
      g.n_k_heads = c.n_k_heads, g.n_v_heads = c.n_v_heads, g.head_k = c.head_k, g.head_v = c.head_v;
      g.n_taps = c.n_taps;
      g.tiled = c.tiled;
      g.eps = 1e-6f;
      ops_.push_back(g);
      state_.layers.push_back({c.n_v_heads, c.head_v, c.head_k, n, c.n_taps - 1});
    }
  }

  OpRunner runner(const Setting& s) const {
    return OpRunner(
        w_,
        [&](plan::Builder& b) {
          const plan::ValueId qkv = b.embed(qkv_), alpha = b.embed(a_), beta = b.embed(b_);
          plan::ValueId sum = b.gated_delta_net(qkv, alpha, beta, ops_[0]);
          for (size_t i = 1; i < ops_.size(); ++i) b.add(sum, b.gated_delta_net(qkv, alpha, beta, ops_[i]));
          return sum;
        },
        s, state_, n_sequences_);
  }

  // Sequence s's inputs are rows [s * kRows, (s + 1) * kRows).
  static std::vector<Token> tokens(int sequence, int first = 0, int n = kRows) {
    std::vector<Token> t;
    for (int i = first; i < first + n; ++i) t.push_back({sequence * kRows + i, sequence});
    return t;
  }

  Matrix expected(int sequence) const {
    Matrix out(kRows, std::vector<double>(c_.n_v_heads * c_.head_v, 0.0));
    for (const plan::GatedDeltaNet& g : ops_)
      for (int j = 0; j < c_.n_v_heads; ++j) add_head(g, sequence, j, out);
    return out;
  }

 private:
  // silu of the convolution at row t of the sequence, channels [first, first + n)
  std::vector<double> convolved(const plan::GatedDeltaNet& g, int sequence, int t, int first, int n) const {
    std::vector<double> y(n);
    for (int c = 0; c < n; ++c) {
      double sum = 0;
      for (int i = 0; i < c_.n_taps; ++i) {
        const int from = t - (c_.n_taps - 1) + i;
        if (from >= 0)
          sum += double{w_.row(g.conv, first + c)[i]} * w_.row(qkv_, sequence * kRows + from)[first + c];
      }
      y[c] = sum * sigmoid(sum);
    }
    return y;
  }
  static void normalise(std::vector<double>& x, double scale) {
    double squares = 1e-6;
    for (const double v : x) squares += v * v;
    for (double& v : x) v *= scale / std::sqrt(squares);
  }
  void add_head(const plan::GatedDeltaNet& g, int sequence, int j, Matrix& out) const {
    const int key_head = c_.tiled ? j % c_.n_k_heads : j / (c_.n_v_heads / c_.n_k_heads);
    const int hk = c_.head_k, hv = c_.head_v, k_first = c_.n_k_heads * hk;
    std::vector<double> s(hv * hk, 0.0);  // [head_v][head_k]
    for (int t = 0; t < kRows; ++t) {
      const int row = sequence * kRows + t;
      auto q = convolved(g, sequence, t, key_head * hk, hk);
      auto k = convolved(g, sequence, t, k_first + key_head * hk, hk);
      const auto v = convolved(g, sequence, t, 2 * k_first + j * hv, hv);
      normalise(q, 1 / std::sqrt(double(hk)));
      normalise(k, 1);
      const double x = double{w_.row(a_, row)[j]} + w_.row(g.dt_bias, 0)[j];
      const double decay = std::exp(w_.row(g.a_scale, 0)[j] * (x > 20 ? x : std::log1p(std::exp(x))));
      const double beta = sigmoid(w_.row(b_, row)[j]);
      for (int i = 0; i < hv; ++i) {
        double* si = &s[i * hk];
        const double u = beta * (v[i] - decay * std::inner_product(si, si + hk, k.begin(), 0.0));
        for (int c = 0; c < hk; ++c) si[c] = decay * si[c] + u * k[c];
        out[t][j * hv + i] += std::inner_product(si, si + hk, q.begin(), 0.0);
      }
    }
  }

  DeltaCase c_;
  int n_sequences_;
  Weights w_;
  plan::WeightId qkv_, a_, b_;
  std::vector<plan::GatedDeltaNet> ops_;
  plan::StateShape state_;
};

class DeltaNetOp : public ::testing::TestWithParam<DeltaCase> {};

TEST_P(DeltaNetOp, IsWhatThePlanSays) {
  const DeltaNets nets(GetParam());
  const auto tokens = DeltaNets::tokens(0);
  const Floats whole = nets.runner({}).run(tokens);
  EXPECT_TRUE(close(whole, nets.expected(0), 1e-5));
  for (const std::string& isa : available_isas())
    EXPECT_TRUE(same_bytes(whole, nets.runner({isa}).run(tokens))) << isa;
  for (const int threads : {1, 3})
    EXPECT_TRUE(same_bytes(whole, nets.runner({"", threads}).run(tokens))) << threads << " threads";
}

// Rows are worked on sixteen at a time, and the convolution looks back n_taps - 1.
TEST_P(DeltaNetOp, CarriesItsStateOverAnyCut) {
  const DeltaNets nets(GetParam());
  const auto tokens = DeltaNets::tokens(0);
  OpRunner runner = nets.runner({});
  const Floats whole = runner.run(tokens);
  std::vector<std::vector<int>> cuts = {{1},    {2}, {3}, {7}, {15}, {16}, {17}, {32, 1}, {15, 1, 17, 2},
                                        {69, 1}};
  std::mt19937 rng(3);
  for (int i = 0; i < 5; ++i) {
    cuts.emplace_back();
    for (int j = 0; j < 10; ++j) cuts.back().push_back(1 + static_cast<int>(rng() % (i < 3 ? 4 : 20)));
  }
  for (const auto& cut : cuts) {
    runner.reset();
    EXPECT_TRUE(same_bytes(whole, runner.run(tokens, cut))) << "steps of " << cut[0] << ", ...";
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, DeltaNetOp,
    ::testing::Values(
        DeltaCase{.name = "one_to_one", .n_k_heads = 3, .n_v_heads = 3}, DeltaCase{.name = "repeated_2"},
        DeltaCase{.name = "tiled_2", .tiled = true},
        DeltaCase{.name = "repeated_4", .n_k_heads = 2, .n_v_heads = 8, .head_v = 16},
        DeltaCase{.name = "tiled_4", .n_k_heads = 2, .n_v_heads = 8, .head_v = 16, .tiled = true},
        DeltaCase{.name = "tiled_odd", .n_k_heads = 3, .n_v_heads = 6, .tiled = true},
        DeltaCase{.name = "narrow_keys", .head_k = 8, .head_v = 48},
        DeltaCase{.name = "published", .n_k_heads = 1, .n_v_heads = 2, .head_k = 128, .head_v = 128},
        DeltaCase{.name = "odd_width", .head_k = 20, .head_v = 16, .n_taps = 3},
        DeltaCase{.name = "taps_2", .n_taps = 2}, DeltaCase{.name = "taps_5", .n_taps = 5},
        DeltaCase{.name = "taps_8", .n_taps = 8}, DeltaCase{.name = "layers", .n_taps = 3, .n_layers = 3}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(DeltaNet, SequencesOfAStepDoNotMeet) {
  const DeltaNets nets({.name = "company", .tiled = true, .n_layers = 2}, 3);
  std::vector<Floats> alone(3);
  OpRunner runner = nets.runner({});
  for (int s = 0; s < 3; ++s) {
    runner.reset();
    alone[s] = runner.run(DeltaNets::tokens(s), {13});
  }
  for (const int threads : {1, 2, 3}) {
    OpRunner shared = nets.runner({"", threads});
    std::vector<Floats> together(3);
    for (int step = 0; together[0].size() + together[1].size() + together[2].size() < 3 * kRows; ++step) {
      std::vector<Token> tokens;
      for (int i = 0; i < 3; ++i) {
        const int s = (i + step) % 3, at = static_cast<int>(together[s].size());
        const int n = std::min((step * 5 + s * 7) % 19, kRows - at);  // sometimes none
        for (const Token& t : DeltaNets::tokens(s, at, n)) tokens.push_back(t);
      }
      const Floats rows = shared.step(tokens);
      for (size_t i = 0; i < rows.size(); ++i) together[tokens[i].sequence].push_back(rows[i]);
    }
    for (int s = 0; s < 3; ++s)
      EXPECT_TRUE(same_bytes(alone[s], together[s])) << "sequence " << s << ", " << threads << " threads";
  }
}

// ---- Gates

TEST(Gate, IsWhatThePlanSays) {
  constexpr int kWidth = 77, kTokens = 21;
  for (const plan::GateKind kind : {plan::GateKind::kSigmoid, plan::GateKind::kSilu})
    for (const int gate_width : {kWidth, 1}) {
      Weights w;
      std::mt19937 rng(31);
      const plan::WeightId x = w.matrix(DType::kF32, kWidth, kTokens, normals(rng, kWidth * kTokens));
      const plan::WeightId g =
          w.matrix(DType::kF32, gate_width, kTokens, normals(rng, gate_width * kTokens, 4.0f));
      const auto run = [&](const Setting& s, const std::vector<int>& cut) {
        return OpRunner(
                   w,
                   [&](plan::Builder& b) {
                     const plan::ValueId y = b.embed(x);
                     b.gate(y, b.embed(g), kind);
                     return y;
                   },
                   s)
            .run(all_rows(kTokens), cut);
      };
      const Floats whole = run({}, {kTokens});
      Matrix expected;
      for (int r = 0; r < kTokens; ++r) {
        expected.emplace_back();
        for (int i = 0; i < kWidth; ++i) {
          const double v = w.row(g, r)[gate_width == 1 ? 0 : i];
          expected.back().push_back(w.row(x, r)[i] * sigmoid(v) * (kind == plan::GateKind::kSilu ? v : 1.0));
        }
      }
      EXPECT_TRUE(close(whole, expected, 1e-6)) << gate_width;
      for (const std::string& isa : available_isas())
        EXPECT_TRUE(same_bytes(whole, run({isa, 3}, {1, 4}))) << isa << ", " << gate_width;
    }
}

}  // namespace
}  // namespace moraine::cpu
