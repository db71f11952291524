// What the tests of ops share: weights of any format, a plan over them, and steps to run it with, on any
// backend; the result of one is held against another's.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <vector>

#include "plan/backend.h"
#include "quant/format.h"

namespace moraine::vulkan::testing {

constexpr int32_t kVocab = 71;

// Rows of a step, shared out over the sequences; of each sequence's the last `tentative` may not hold, and
// `kept` of them do.
struct StepRows {
  int32_t n;
  int32_t tentative = 0, kept = 0;
};

class Case {
 public:
  plan::WeightId matrix(int32_t cols, int32_t rows, float size = 1.0f, DType type = DType::kF32) {
    return add(plan::WeightRole::kMatrix, type, cols, rows, size);
  }
  plan::WeightId vector(int32_t n, float size = 1.0f, int32_t rows = 1) {
    return add(plan::WeightRole::kVector, DType::kF32, n, rows, size);
  }
  plan::WeightId vector(const std::vector<float>& values) {
    return add(plan::WeightRole::kVector, DType::kF32, static_cast<int32_t>(values.size()), 1, values);
  }
  // A table whose rows are the inputs of a plan: token t gives its row t.
  plan::WeightId inputs(int32_t width, float size = 1.0f) { return matrix(width, kVocab, size); }

  std::function<plan::Plan(plan::Builder&)> build;
  plan::KvShape kv;
  KvType kv_k = KvType::kF32, kv_v = KvType::kF32;
  plan::StateShape state;
  int32_t n_sequences = 1;
  std::vector<StepRows> steps = {{1}, {2}, {7}, {33}};
  int32_t max_context = 512;

  // Each step's output rows, one after another.
  std::vector<float> run(plan::Backend& backend) const {
    backend.declare_weights(weights_);
    for (size_t i = 0; i < weights_.size(); ++i)
      backend.write_weight(static_cast<plan::WeightId>(i), 0, weights_[i].rows, data_[i].data());
    backend.set_kv(kv, kv_k, kv_v);
    backend.set_state(state);
    plan::Builder b(weights_);
    const plan::Plan p = build(b);
    const int32_t width = p.values[p.output].width, stride = plan::row_stride(width);
    int32_t most = 0;
    for (const StepRows& s : steps) most = std::max(most, s.n);
    const auto exe = backend.prepare(p, {most, most, max_context, most});
    std::vector<std::vector<plan::PageId>> tables(n_sequences);
    std::vector<plan::StateId> states;
    for (int32_t s = 0; s < n_sequences && !state.layers.empty(); ++s)
      states.push_back(backend.allocate_state());
    std::vector<int32_t> lengths(n_sequences, 0);
    std::mt19937 rng(5);
    std::vector<float> all;
    for (const StepRows& rows : steps) {
      std::vector<TokenId> tokens;
      std::vector<int32_t> positions, sequences, outputs, tentative(n_sequences, 0), kept(n_sequences, 0);
      std::vector<int32_t> count(n_sequences, 0);
      for (int32_t r = 0; r < rows.n; ++r) {
        const int32_t s = r * n_sequences / rows.n;
        tokens.push_back(static_cast<TokenId>(rng() % kVocab));
        positions.push_back(lengths[s]++);
        sequences.push_back(s);
        ++count[s];
        if (r % 3 != 1) outputs.push_back(r);
        if (!kv.layers.empty() &&
            static_cast<int32_t>(tables[s].size()) <= positions.back() / plan::kPageTokens)
          tables[s].push_back(backend.allocate_page());
      }
      for (int32_t s = 0; s < n_sequences; ++s) {
        tentative[s] = std::min(rows.tentative, count[s]);
        kept[s] = std::min(rows.kept, tentative[s]);
        lengths[s] -= tentative[s] - kept[s];
      }
      std::vector<std::span<const plan::PageId>> views(tables.begin(), tables.end());
      std::vector<float> out(static_cast<size_t>(rows.n) * stride, -77.0f);
      plan::Step step = {tokens, positions, sequences, outputs, views, states};
      if (rows.tentative > 0) step.tentative = tentative;
      EXPECT_EQ(exe->submit(step, out.data(), stride), plan::Status::kOk);
      if (rows.tentative > 0) exe->keep(kept);
      const size_t n_out = p.values[p.output].extent == plan::Extent::kRows ? tokens.size() : outputs.size();
      for (size_t r = 0; r < n_out; ++r)
        all.insert(all.end(), out.begin() + r * stride, out.begin() + r * stride + width);
    }
    return all;
  }

 private:
  plan::WeightId add(plan::WeightRole role, DType type, int32_t cols, int32_t rows, float size) {
    std::normal_distribution<float> normal(0.0f, size);
    std::vector<float> values(static_cast<size_t>(cols) * rows);
    for (float& v : values) v = normal(rng_);
    return add(role, type, cols, rows, values);
  }
  plan::WeightId add(plan::WeightRole role, DType type, int32_t cols, int32_t rows,
                     const std::vector<float>& values) {
    const size_t n_blocks = values.size() / info(type).block_len;
    std::vector<uint8_t> packed(n_blocks * info(type).block_bytes);
    quant::find(type)->pack_blocks(values.data(), n_blocks, packed.data());
    weights_.push_back({fmt::format("w{}", weights_.size()), type, role, cols, rows, {}});
    data_.push_back(std::move(packed));
    return static_cast<plan::WeightId>(weights_.size()) - 1;
  }
  std::mt19937 rng_{11};
  std::vector<plan::Weight> weights_;
  std::vector<std::vector<uint8_t>> data_;
};

// |got - expected|^2 / |expected|^2; a NaN is no number below any bound.
inline double nmse(const std::vector<float>& got, const std::vector<float>& expected) {
  double error = 0, power = 1e-300;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (double(got[i]) - expected[i]) * (double(got[i]) - expected[i]);
    power += double(expected[i]) * expected[i];
  }
  return error / power;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace moraine::vulkan::testing
