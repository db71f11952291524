#include "model/loader.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "gguf/tensor_reader.h"
#include "quant/format.h"

namespace moraine::model {
namespace {

constexpr uint64_t kBounceBytes = 8 << 20;
constexpr int32_t kRowGranularity = 8;  // backends re-lay rows in groups of eight

using Clock = std::chrono::steady_clock;

class Meter {
 public:
  Meter(const ProgressFn& fn, uint64_t total) : fn_(fn), start_(Clock::now()), last_(start_) {
    state_.phase = "loading weights";
    state_.bytes_total = total;
    report();
  }
  void add(uint64_t bytes) {
    state_.bytes_done += bytes;
    const Clock::time_point now = Clock::now();
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    if (elapsed > 0) state_.bytes_per_second = static_cast<double>(state_.bytes_done) / elapsed;
    if (elapsed > 0.5)
      state_.seconds_left =
          static_cast<double>(state_.bytes_total - state_.bytes_done) / state_.bytes_per_second;
    if (now - last_ < std::chrono::milliseconds(100) && state_.bytes_done < state_.bytes_total) return;
    last_ = now;
    report();
  }

 private:
  void report() {
    if (fn_ && !fn_(state_)) throw Error(ErrorCode::kCancelled, "Loading was cancelled.");
  }
  const ProgressFn& fn_;
  LoadProgress state_;
  Clock::time_point start_, last_;
};

// The file's rows that make a weight, handed out in order.
class Rows {
 public:
  Rows(const plan::Weight& w, uint64_t n_file_rows) : source_(w.source) {
    if (source_.empty()) source_.push_back({0, static_cast<int32_t>(n_file_rows)});
  }
  plan::RowRange next(int32_t at_most) {
    plan::RowRange& now = source_[index_];
    const plan::RowRange taken = {now.first, std::min(now.n, at_most)};
    now.first += taken.n;
    now.n -= taken.n;
    if (now.n == 0) ++index_;
    return taken;
  }

 private:
  std::vector<plan::RowRange> source_;
  size_t index_ = 0;
};

}  // namespace

std::vector<plan::Weight> weights_as_loaded(const Model& model, const LoadOptions& options) {
  std::vector<plan::Weight> weights = model.weights();
  if (options.as_f32)
    for (plan::Weight& w : weights) w.dtype = DType::kF32;
  return weights;
}

void load_weights(const gguf::File& file, const Model& model, plan::Backend& backend,
                  const ProgressFn& progress, const LoadOptions& options) {
  const std::vector<plan::Weight> declared = weights_as_loaded(model, options);
  const gguf::TensorReader reader(file);
  uint64_t total = 0;
  for (const plan::Weight& w : declared) total += file.tensor(w.name).row_bytes() * w.rows;

  std::vector<std::byte> bounce;
  std::vector<float> floats;
  Meter meter(progress, total);
  for (size_t id = 0; id < declared.size(); ++id) {
    const plan::Weight& w = declared[id];
    const gguf::TensorInfo& t = file.tensor(w.name);
    const uint64_t row_bytes = t.row_bytes();
    uint64_t most_rows = std::max<uint64_t>(kBounceBytes / row_bytes, 1);
    most_rows = std::max<uint64_t>(most_rows / kRowGranularity * kRowGranularity, kRowGranularity);
    Rows rows(w, t.n_rows());
    uint64_t row = 0;  // of the weight
    while (row < static_cast<uint64_t>(w.rows)) {
      const uint64_t n = std::min(most_rows, w.rows - row);
      bounce.resize(n * row_bytes);
      for (uint64_t filled = 0; filled < n;) {
        const plan::RowRange r = rows.next(static_cast<int32_t>(n - filled));
        reader.read(t, r.first * row_bytes, std::span(bounce).subspan(filled * row_bytes, r.n * row_bytes));
        filled += r.n;
      }
      const auto* data = reinterpret_cast<const uint8_t*>(bounce.data());
      if (w.dtype != t.dtype) {
        floats.resize(n * t.shape[0]);
        quant::find(t.dtype)->unpack_blocks(data, n * t.shape[0] / info(t.dtype).block_len, floats.data());
        data = reinterpret_cast<const uint8_t*>(floats.data());
      }
      backend.write_weight(static_cast<plan::WeightId>(id), static_cast<int32_t>(row),
                           static_cast<int32_t>(n), data);
      meter.add(n * row_bytes);
      row += n;
    }
    // Weights that are parts of one tensor follow each other: its pages are kept for the next part.
    if (id + 1 == declared.size() || declared[id + 1].name != w.name) reader.drop_cache(t, 0, t.size_bytes);
  }
}

}  // namespace moraine::model
