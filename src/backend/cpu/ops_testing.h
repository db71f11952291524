// What the tests of single ops share: a plan whose inputs are tables of values, a row of which each token
// picks; weights of any format with the double-precision values they stand for; comparisons.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/backend.h"
#include "quant/format.h"

namespace moraine::cpu::testing {

using Matrix = std::vector<std::vector<double>>;

inline std::vector<float> normals(std::mt19937& rng, size_t n, float sigma = 1.0f) {
  std::vector<float> v(n);
  std::normal_distribution<float> normal(0.0f, sigma);
  for (float& x : v) x = normal(rng);
  return v;
}

// Weights by id: what a backend is told and given, and the values it should compute with.
class Weights {
 public:
  // values: [rows][cols], packed as dtype.
  plan::WeightId matrix(DType dtype, int32_t cols, int32_t rows, const std::vector<float>& values) {
    return add(dtype, plan::WeightRole::kMatrix, cols, rows, values);
  }
  plan::WeightId random(std::mt19937& rng, DType dtype, int32_t cols, int32_t rows) {
    return matrix(dtype, cols, rows, normals(rng, size_t(cols) * rows, 1 / std::sqrt(float(cols))));
  }
  plan::WeightId vector(int32_t cols, int32_t rows, const std::vector<float>& values) {
    return add(DType::kF32, plan::WeightRole::kVector, cols, rows, values);
  }

  const std::vector<plan::Weight>& declared() const { return declared_; }
  // The unpacked values of row `row`.
  const float* row(plan::WeightId id, int64_t row) const { return &floats_[id][row * declared_[id].cols]; }
  void give_to(plan::Backend& backend) const {
    backend.declare_weights(declared_);
    for (size_t id = 0; id < declared_.size(); ++id)
      backend.write_weight(static_cast<plan::WeightId>(id), 0, declared_[id].rows, bytes_[id].data());
  }

 private:
  plan::WeightId add(DType dtype, plan::WeightRole role, int32_t cols, int32_t rows,
                     const std::vector<float>& values) {
    const size_t n_blocks = size_t(cols) * rows / info(dtype).block_len;
    std::vector<uint8_t> packed(n_blocks * info(dtype).block_bytes);
    quant::find(dtype)->pack_blocks(values.data(), n_blocks, packed.data());
    std::vector<float> unpacked(values.size());
    quant::find(dtype)->unpack_blocks(packed.data(), n_blocks, unpacked.data());
    declared_.push_back({"w" + std::to_string(declared_.size()), dtype, role, cols, rows, {}});
    bytes_.push_back(std::move(packed));
    floats_.push_back(std::move(unpacked));
    return static_cast<plan::WeightId>(declared_.size()) - 1;
  }

  std::vector<plan::Weight> declared_;
  std::vector<std::vector<uint8_t>> bytes_;
  std::vector<std::vector<float>> floats_;
};

// How a step is run; none of it may show in a result.
struct Setting {
  std::string isa = {};
  int threads = 2;
  int max_rows = 512;
};

// One token: the row of the input tables it picks, and whose it is.
struct Token {
  TokenId row;
  int sequence = 0;
};

inline std::vector<Token> all_rows(int n) {
  std::vector<Token> tokens(n);
  for (int i = 0; i < n; ++i) tokens[i].row = i;
  return tokens;
}

// A backend with one plan on it. Inputs are embeddings from float32 tables, which are copies of their rows;
// the result is every row of one value.
class OpRunner {
 public:
  using Forward = std::function<plan::ValueId(plan::Builder&)>;  // returns a value of kRows

  OpRunner(const Weights& weights, const Forward& forward, const Setting& s,
           const plan::StateShape& state = {}, int n_sequences = 1)
      : declared_(weights.declared()), backend_({s.threads, s.isa}), max_rows_(s.max_rows) {
    weights.give_to(backend_);
    backend_.set_state(state);
    plan::Builder b(declared_);
    const plan::ValueId out = b.gather_outputs(forward(b));
    width_ = b.width(out);
    plan_ = b.finish(out);
    exe_ = backend_.prepare(plan_, {s.max_rows, s.max_rows, 1 << 20});
    lengths_.assign(n_sequences, 0);
    for (int i = 0; i < n_sequences; ++i) states_.push_back(backend_.allocate_state());
  }

  // One step. Rows of one sequence must lie together.
  std::vector<std::vector<float>> step(const std::vector<Token>& tokens) {
    std::vector<TokenId> ids;
    std::vector<int32_t> positions, sequences, outputs;
    for (const Token& t : tokens) {
      ids.push_back(t.row);
      positions.push_back(lengths_[t.sequence]++);
      sequences.push_back(t.sequence);
      outputs.push_back(static_cast<int32_t>(outputs.size()));
    }
    const int64_t stride = plan::row_stride(width_);
    std::vector<float> y(tokens.size() * stride);
    EXPECT_EQ(exe_->submit({ids, positions, sequences, outputs, {}, states_}, y.data(), stride),
              plan::Status::kOk);
    std::vector<std::vector<float>> rows;
    for (size_t i = 0; i < tokens.size(); ++i)
      rows.emplace_back(y.begin() + i * stride, y.begin() + i * stride + width_);
    return rows;
  }

  // Steps of these many rows each, the last sizes' turn coming again and again.
  std::vector<std::vector<float>> run(const std::vector<Token>& tokens, const std::vector<int>& sizes) {
    std::vector<std::vector<float>> rows;
    for (size_t at = 0, i = 0; at < tokens.size(); ++i) {
      const size_t n = std::min<size_t>(sizes[i % sizes.size()], tokens.size() - at);
      for (auto& row : step({tokens.begin() + at, tokens.begin() + at + n})) rows.push_back(std::move(row));
      at += n;
    }
    return rows;
  }
  std::vector<std::vector<float>> run(const std::vector<Token>& tokens) { return run(tokens, {max_rows_}); }

  // As if nothing had been run: states are given back and taken anew.
  void reset() {
    lengths_.assign(lengths_.size(), 0);
    for (plan::StateId& s : states_) {
      backend_.free_state(s);
      s = backend_.allocate_state();
    }
  }

 private:
  std::vector<plan::Weight> declared_;
  CpuBackend backend_;
  plan::Plan plan_;
  std::unique_ptr<plan::Executable> exe_;
  int max_rows_;
  int32_t width_ = 0;
  std::vector<int32_t> lengths_;
  std::vector<plan::StateId> states_;
};

using Floats = std::vector<std::vector<float>>;

inline ::testing::AssertionResult same_bytes(const Floats& a, const Floats& b) {
  if (a.size() != b.size())
    return ::testing::AssertionFailure() << a.size() << " and " << b.size() << " rows";
  for (size_t r = 0; r < a.size(); ++r)
    for (size_t i = 0; i < a[r].size(); ++i)
      if (std::memcmp(&a[r][i], &b[r][i], 4) != 0)
        return ::testing::AssertionFailure()
               << "row " << r << ", value " << i << ": " << a[r][i] << " and " << b[r][i];
  return ::testing::AssertionSuccess();
}

// |got - expected| / |expected| of each row, as vectors, below `bound`.
inline ::testing::AssertionResult close(const Floats& got, const Matrix& expected, double bound) {
  for (size_t r = 0; r < expected.size(); ++r) {
    double difference = 0, size = 1e-30;
    for (size_t i = 0; i < expected[r].size(); ++i) {
      difference += std::pow(got[r][i] - expected[r][i], 2);
      size += std::pow(expected[r][i], 2);
    }
    if (!(std::sqrt(difference / size) < bound))
      return ::testing::AssertionFailure() << "row " << r << " is off by " << std::sqrt(difference / size);
  }
  return ::testing::AssertionSuccess();
}

}  // namespace moraine::cpu::testing
