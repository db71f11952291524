// Test support: a model on a backend with one KV sequence, fed in slices as a test wishes.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/backend.h"
#include "gguf/reader.h"
#include "model/loader.h"
#include "model/model.h"

namespace moraine::testing {

// One row of a step: its token and which sequence it continues.
struct Row {
  TokenId token;
  int sequence;
};

class Runner {
 public:
  struct Options {
    std::string isa;
    int threads = 2;
    bool as_f32 = false;
    KvType kv_k = KvType::kF16, kv_v = KvType::kF16;
    int max_rows = 512;
    int max_context = 1024;
    int n_sequences = 3;
    std::function<void(bool begins)> on_submit;  // called before and after each
  };

  Runner(const std::string& path, const Options& o)
      : Runner(path, o, std::make_unique<cpu::CpuBackend>(cpu::CpuBackend::Options{o.threads, o.isa})) {}
  Runner(const std::string& path, const Options& o, std::unique_ptr<plan::Backend> backend)
      : o_(o),
        file_(gguf::File::open(path)),
        model_(model::create_model(file_)),
        backend_(std::move(backend)) {
    backend_->declare_weights(model::weights_as_loaded(*model_, {o.as_f32}));
    model::load_weights(file_, *model_, *backend_, {}, {o.as_f32});
    backend_->set_kv(model_->kv_shape(), o.kv_k, o.kv_v);
    backend_->set_state(model_->state_shape());
    plan_ = model_->forward();
    exe_ = backend_->prepare(plan_, {o.max_rows, o.max_rows, o.max_context});
    tables_.resize(o.n_sequences);
    lengths_.assign(o.n_sequences, 0);
    if (backend_->state_bytes() > 0)
      for (int i = 0; i < o.n_sequences; ++i) states_.push_back(backend_->allocate_state());
    stride_ = plan::row_stride(model_->n_vocab());
  }

  // Runs the rows as one step and returns each row's logits. Rows of one sequence must lie together.
  std::vector<std::vector<float>> step(const std::vector<Row>& rows) {
    std::vector<TokenId> tokens;
    std::vector<int32_t> positions, sequences, outputs;
    for (const Row& r : rows) {
      tokens.push_back(r.token);
      positions.push_back(lengths_[r.sequence]++);
      sequences.push_back(r.sequence);
      outputs.push_back(static_cast<int32_t>(outputs.size()));
      if (positions.back() / plan::kPageTokens >= static_cast<int>(tables_[r.sequence].size()))
        tables_[r.sequence].push_back(backend_->allocate_page());
    }
    std::vector<std::span<const plan::PageId>> tables(tables_.begin(), tables_.end());
    std::vector<float> logits(rows.size() * stride_);
    const plan::Step step = {tokens, positions, sequences, outputs, tables, states_};
    if (o_.on_submit) o_.on_submit(true);
    exe_->submit(step, logits.data(), stride_);
    if (o_.on_submit) o_.on_submit(false);
    std::vector<std::vector<float>> out;
    for (size_t i = 0; i < rows.size(); ++i)
      out.emplace_back(logits.begin() + i * stride_, logits.begin() + i * stride_ + model_->n_vocab());
    return out;
  }

  // All of one sequence, in slices of at most `slice` rows.
  std::vector<std::vector<float>> run(const std::vector<TokenId>& tokens, int slice, int sequence = 0) {
    std::vector<std::vector<float>> all;
    for (size_t i = 0; i < tokens.size(); i += slice) {
      std::vector<Row> rows;
      for (size_t j = i; j < std::min(tokens.size(), i + slice); ++j) rows.push_back({tokens[j], sequence});
      for (auto& l : step(rows)) all.push_back(std::move(l));
    }
    return all;
  }

  void reset() {
    for (auto& t : tables_) {
      for (plan::PageId p : t) backend_->free_page(p);
      t.clear();
    }
    lengths_.assign(lengths_.size(), 0);
    for (plan::StateId& s : states_) {
      backend_->free_state(s);
      s = backend_->allocate_state();
    }
  }
  const model::Model& model() const { return *model_; }
  const plan::Plan& plan() const { return plan_; }
  plan::Executable& executable() { return *exe_; }

 private:
  Options o_;
  gguf::File file_;
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<plan::Backend> backend_;
  plan::Plan plan_;
  std::unique_ptr<plan::Executable> exe_;
  std::vector<std::vector<plan::PageId>> tables_;
  std::vector<int32_t> lengths_;
  std::vector<plan::StateId> states_;
  int64_t stride_ = 0;
};

}  // namespace moraine::testing
