// A model: its weights by name and shape, its cache's shape, and the plan of its forward pass. Each
// architecture is one file in arch/ that fills this; nothing outside those files asks which it is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/reader.h"
#include "plan/plan.h"

namespace moraine::model {

class Model {
 public:
  virtual ~Model() = default;

  // Writes the forward pass: from tokens to logits of the output rows.
  virtual plan::Plan forward() const = 0;

  const std::vector<plan::Weight>& weights() const { return weights_; }
  const plan::KvShape& kv_shape() const { return kv_shape_; }
  const plan::StateShape& state_shape() const { return state_shape_; }
  int32_t n_layers() const { return n_layers_; }
  int32_t n_embd() const { return n_embd_; }
  int32_t n_vocab() const { return n_vocab_; }
  int32_t n_ctx_train() const { return n_ctx_train_; }
  const std::vector<std::string>& notes() const { return notes_; }

  // Whether anything in the file went unbound that the published model would compute with: a bias, a shared
  // expert. Throws Error{kUnsupported} naming it; other leftovers become a note.
  void check_unused(const gguf::File& file);

 protected:
  friend class Tensors;
  std::vector<plan::Weight> weights_;
  plan::KvShape kv_shape_;
  plan::StateShape state_shape_;
  int32_t n_layers_ = 0, n_embd_ = 0, n_vocab_ = 0, n_ctx_train_ = 0;
  std::vector<std::string> notes_;  // what a user should know, one sentence each
};

// Binds an architecture's tensors to a file's: a name and a shape stated once give the weight, or an
// error that names the tensor, the shape it has and the shape it must have.
class Tensors {
 public:
  Tensors(const gguf::File& file, Model& model) : file_(file), model_(model) {}

  plan::WeightId matrix(const std::string& name, int32_t cols, int32_t rows);
  // Some rows of a tensor that has `file_rows`: what a file keeps together and the plan uses apart.
  plan::WeightId rows_of(const std::string& name, int32_t cols, int32_t file_rows,
                         std::vector<plan::RowRange> source);
  // A stack of n_experts matrices [cols, rows]; or, of a stack [cols, file_rows], the `rows` from `first` of
  // each expert's. Kernels take rows in groups of eight: rows that are no multiple are refused.
  plan::WeightId experts(const std::string& name, int32_t cols, int32_t rows, int32_t n_experts);
  plan::WeightId experts_part(const std::string& name, int32_t cols, int32_t file_rows, int32_t n_experts,
                              int32_t first, int32_t rows);
  plan::WeightId vector(const std::string& name, int32_t n);
  plan::WeightId vectors(const std::string& name, int32_t n, int32_t count);  // float32 [count, n]
  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }
  plan::WeightId vector_if_present(const std::string& name, int32_t n) {
    return has(name) ? vector(name, n) : plan::kNoWeight;
  }
  // output.weight, or where a file has none the matrix that embeds tokens, in both roles.
  plan::WeightId output(plan::WeightId token_embd, int32_t n_embd, int32_t n_vocab) {
    return has("output.weight") ? matrix("output.weight", n_embd, n_vocab) : token_embd;
  }

 private:
  struct Shape {
    int32_t cols = 0, rows = 1, n_experts = 1;
  };
  plan::WeightId bind(const std::string& name, plan::WeightRole role, Shape shape,
                      std::vector<plan::RowRange> source = {});
  const gguf::File& file_;
  Model& model_;
};

// The hyperparameters every architecture has, read and bounded: keys begin with the architecture's name.
class Hparams {
 public:
  explicit Hparams(const gguf::File& file);
  const std::string& arch() const { return arch_; }
  bool has(std::string_view key) const;
  // Throws Error{kCorruptFile} where missing or outside [low, high].
  int32_t integer(std::string_view key, int32_t low, int32_t high) const;
  int32_t integer_or(std::string_view key, int32_t fallback, int32_t low, int32_t high) const;
  // One value for each layer: the file has one for all, or an array. nothing: the key is missing.
  std::optional<std::vector<int32_t>> by_layer(std::string_view key, int32_t n_layers, int32_t low,
                                               int32_t high) const;
  // A flag for each layer likewise: bools, as converters write them, or numbers 0 and 1.
  std::optional<std::vector<bool>> flags_by_layer(std::string_view key, int32_t n_layers) const;
  bool is_array(std::string_view key) const;
  // Finite and above zero: what these numbers (epsilons, bases, factors) are divided by or raised to. Throws
  // alike.
  float positive(std::string_view key) const;
  float positive_or(std::string_view key, float fallback) const;
  // Finite and within [low, high]. Throws alike.
  float number_or(std::string_view key, float fallback, float low, float high) const;
  bool flag_or(std::string_view key, bool fallback) const;
  std::string text_or(std::string_view key, std::string_view fallback) const;
  int32_t n_vocab() const;  // rows of token_embd.weight
  [[noreturn]] void fail(std::string_view key, std::string_view cause) const;
  // Error{kUnsupported}: nothing is wrong with the file.
  [[noreturn]] void unsupported(std::string_view key, std::string_view cause) const;

 private:
  const gguf::File& file_;
  std::string arch_;
};

using Factory = std::unique_ptr<Model> (*)(const gguf::File& file);
struct Architecture {
  std::string_view name;  // general.architecture
  Factory create;
};
const std::vector<Architecture>& architectures();

// Throws Error{kUnsupported} for an unknown architecture, naming those that run.
std::unique_ptr<Model> create_model(const gguf::File& file);

}  // namespace moraine::model
