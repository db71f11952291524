// Loading weights: rows of a file's tensors reach the backend in the declared order, whatever ranges they
// are taken from and however they fall into the bounce buffer. Whole models: tests/model.
#include "model/loader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>

#include "gguf/writer.h"
#include "quant/format.h"

namespace moraine::model {
namespace {

struct Tensor {
  std::string name;
  DType dtype;
  uint64_t cols, rows;
};

// Keeps what it is given, and checks what backends may count on.
class Recorder : public plan::Backend {
 public:
  std::string describe() const override { return "recorder"; }
  void declare_weights(std::vector<plan::Weight> weights) override {
    declared = std::move(weights);
    bytes.resize(declared.size());
  }
  void write_weight(plan::WeightId id, int32_t first_row, int32_t n_rows, const uint8_t* data) override {
    const plan::Weight& w = declared[id];
    const uint64_t row_bytes = dtype_bytes(w.dtype, w.cols);
    EXPECT_EQ(first_row * row_bytes, bytes[id].size()) << "rows in order, without gaps";
    EXPECT_EQ(first_row % 8, 0);
    EXPECT_LE(first_row + n_rows, w.rows);
    EXPECT_TRUE(n_rows % 8 == 0 || first_row + n_rows == w.rows);
    bytes[id].insert(bytes[id].end(), data, data + n_rows * row_bytes);
    ++n_writes;
  }
  uint64_t weight_bytes() const override { return 0; }
  void set_kv(const plan::KvShape&, KvType, KvType) override {}
  uint64_t page_bytes() const override { return 0; }
  plan::PageId allocate_page() override { return 0; }
  void free_page(plan::PageId) noexcept override {}
  void copy_page(plan::PageId, plan::PageId) {}
  void set_state(const plan::StateShape&) override {}
  uint64_t state_bytes() const override { return 0; }
  plan::StateId allocate_state() override { return 0; }
  void free_state(plan::StateId) noexcept override {}
  void copy_state(plan::StateId, plan::StateId) {}
  std::unique_ptr<plan::Executable> prepare(const plan::Plan&, const plan::StepLimits&) override {
    return {};
  }

  std::vector<plan::Weight> declared;
  std::vector<std::vector<uint8_t>> bytes;
  int n_writes = 0;
};

class Parts final : public Model {
 public:
  explicit Parts(std::vector<plan::Weight> weights) { weights_ = std::move(weights); }
  plan::Plan forward() const override { return {}; }
};

// A file of random bytes, and weights that are parts of it.
class Loading {
 public:
  explicit Loading(const std::vector<Tensor>& tensors)
      : path_(std::filesystem::temp_directory_path() /
              ("moraine-loader-" + std::to_string(getpid()) + ".gguf")) {
    std::mt19937 rng(1);
    gguf::Metadata meta;
    meta.add("general.architecture", gguf::Value("parts"));
    gguf::Writer writer(std::move(meta));
    data_.resize(tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const Tensor& t = tensors[i];
      data_[i].resize(dtype_bytes(t.dtype, t.cols) * t.rows);
      for (std::byte& b : data_[i]) b = static_cast<std::byte>(rng());
      const uint64_t shape[] = {t.cols, t.rows};
      writer.add_tensor(t.name, t.dtype, shape, data_[i]);
    }
    writer.write(path_);
  }
  ~Loading() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

  // Loads rows `source` of tensor i, for each pair (i, source), and compares.
  int load_and_compare(const std::vector<Tensor>& tensors,
                       const std::vector<std::pair<size_t, std::vector<plan::RowRange>>>& parts,
                       const LoadOptions& options = {}) const {
    std::vector<plan::Weight> weights;
    for (const auto& [i, source] : parts) {
      const Tensor& t = tensors[i];
      int32_t rows = source.empty() ? static_cast<int32_t>(t.rows) : 0;
      for (const plan::RowRange& r : source) rows += r.n;
      weights.push_back(
          {t.name, t.dtype, plan::WeightRole::kMatrix, static_cast<int32_t>(t.cols), rows, source});
    }
    const Parts model(weights);
    Recorder recorder;
    recorder.declare_weights(weights_as_loaded(model, options));
    load_weights(gguf::File::open(path_), model, recorder, {}, options);
    for (size_t w = 0; w < parts.size(); ++w)
      EXPECT_TRUE(recorder.bytes[w] ==
                  expected(tensors[parts[w].first], parts[w].first, parts[w].second, options.as_f32))
          << "weight " << w;
    return recorder.n_writes;
  }

 private:
  std::vector<uint8_t> expected(const Tensor& t, size_t i, std::vector<plan::RowRange> source,
                                bool as_f32) const {
    if (source.empty()) source = {{0, static_cast<int32_t>(t.rows)}};
    const uint64_t row_bytes = dtype_bytes(t.dtype, t.cols);
    std::vector<uint8_t> out;
    for (const plan::RowRange& r : source) {
      const auto* from = reinterpret_cast<const uint8_t*>(data_[i].data()) + r.first * row_bytes;
      out.insert(out.end(), from, from + r.n * row_bytes);
    }
    if (!as_f32 || t.dtype == DType::kF32) return out;
    std::vector<float> floats(out.size() / row_bytes * t.cols);
    quant::find(t.dtype)->unpack_blocks(out.data(), floats.size() / info(t.dtype).block_len, floats.data());
    std::vector<uint8_t> bytes(floats.size() * 4);
    std::memcpy(bytes.data(), floats.data(), bytes.size());
    return bytes;
  }

  std::filesystem::path path_;
  std::vector<std::vector<std::byte>> data_;
};

// n ranges of `count` rows from `first`, `stride` apart
std::vector<plan::RowRange> every(int32_t n, int32_t first, int32_t count, int32_t stride) {
  std::vector<plan::RowRange> ranges;
  for (int32_t i = 0; i < n; ++i) ranges.push_back({first + i * stride, count});
  return ranges;
}

TEST(LoadWeights, PartsOfTensorsInAnyOrder) {
  for (const DType t : {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kIQ4_XS}) {
    const std::vector<Tensor> tensors = {{"qg", t, 512, 96}, {"ba", t, 256, 12}, {"whole", t, 256, 21}};
    const Loading file(tensors);
    for (const bool as_f32 : {false, true})
      file.load_and_compare(tensors,
                            {{0, every(3, 0, 16, 32)},   // queries, then
                             {0, every(3, 16, 16, 32)},  // their gates
                             {1, every(3, 0, 2, 4)},     // two rows at a time
                             {2, {}},
                             {1, every(3, 2, 2, 4)},
                             {0, {{95, 1}, {0, 1}, {40, 7}, {3, 30}, {3, 30}}},  // descending, repeated
                             {2, {{20, 1}}},
                             {0, every(96, 0, 1, 1)}},
                            {as_f32});
  }
}

// 4 MB at a time: 512 rows of 8192 bytes, 3 MB rows eight at a time.
TEST(LoadWeights, RangesAcrossTheBounceBuffers) {
  const std::vector<Tensor> tensors = {{"many", DType::kF32, 2048, 2600}, {"wide", DType::kF32, 786432, 11}};
  const Loading file(tensors);
  EXPECT_EQ(file.load_and_compare(tensors, {{0, every(26, 30, 70, 100)}}), 4);
  EXPECT_EQ(file.load_and_compare(tensors, {{0, {}}}), 6);
  EXPECT_EQ(file.load_and_compare(tensors, {{0, {{1000, 1024}, {0, 1000}}}, {0, {{0, 1023}, {2000, 2}}}}), 7);
  EXPECT_EQ(file.load_and_compare(tensors, {{1, {}}, {1, {{9, 2}, {0, 9}}}}), 4);
}

TEST(LoadWeights, ProgressCountsPartsAndCancels) {
  const std::vector<Tensor> tensors = {{"qg", DType::kF16, 64, 64}};
  const Loading file(tensors);
  const Parts model({{"qg", DType::kF16, plan::WeightRole::kMatrix, 64, 24, every(3, 0, 8, 16)}});
  Recorder recorder;
  recorder.declare_weights(model.weights());
  LoadProgress last;
  load_weights(gguf::File::open(file.path()), model, recorder, [&](const LoadProgress& p) {
    last = p;
    return true;
  });
  EXPECT_EQ(last.bytes_total, 24u * 128);
  EXPECT_EQ(last.bytes_done, last.bytes_total);
  try {
    Recorder other;
    other.declare_weights(model.weights());
    load_weights(gguf::File::open(file.path()), model, other, [](const LoadProgress&) { return false; });
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCancelled);
  }
}

// What the reading thread meets is thrown where weights are loaded.
TEST(LoadWeights, RowsThatTheFileLacks) {
  const std::vector<Tensor> tensors = {{"many", DType::kF32, 2048, 2600}};
  const Loading file(tensors);
  const Parts model({{"many", DType::kF32, plan::WeightRole::kMatrix, 2048, 1600, {{2000, 1600}}}});
  Recorder recorder;
  recorder.declare_weights(model.weights());
  try {
    load_weights(gguf::File::open(file.path()), model, recorder, {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(recorder.n_writes, 1) << "what was there before it";
}

// That thread ends when the backend wants no more.
TEST(LoadWeights, ABackendThatFails) {
  const std::vector<Tensor> tensors = {{"many", DType::kF32, 2048, 2600}};
  const Loading file(tensors);
  const Parts model({{"many", DType::kF32, plan::WeightRole::kMatrix, 2048, 2600, {}}});
  class Full final : public Recorder {
   public:
    void write_weight(plan::WeightId, int32_t first_row, int32_t, const uint8_t*) override {
      if (first_row > 0) throw Error(ErrorCode::kOutOfMemory, "full");
    }
  } full;
  full.declare_weights(model.weights());
  EXPECT_THROW(load_weights(gguf::File::open(file.path()), model, full, {}), Error);
}

}  // namespace
}  // namespace moraine::model
