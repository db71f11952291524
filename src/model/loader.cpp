#include "model/loader.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "model/weight_reader.h"
#include "quant/format.h"

namespace moraine::model {
namespace {

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
  uint64_t total = 0;
  for (const plan::Weight& w : declared) total += file.tensor(w.name).row_bytes() * w.rows;

  std::vector<float> floats;
  Meter meter(progress, total);
  WeightReader reader(file, declared);
  while (const WeightReader::Piece* piece = reader.next()) {
    const plan::Weight& w = declared[piece->weight];
    const gguf::TensorInfo& t = file.tensor(w.name);
    const auto* data = reinterpret_cast<const uint8_t*>(piece->bytes.data());
    if (w.dtype != t.dtype) {
      floats.resize(piece->n * t.shape[0]);
      quant::find(t.dtype)->unpack_blocks(data, floats.size() / info(t.dtype).block_len, floats.data());
      data = reinterpret_cast<const uint8_t*>(floats.data());
    }
    backend.write_weight(static_cast<plan::WeightId>(piece->weight), static_cast<int32_t>(piece->row),
                         static_cast<int32_t>(piece->n), data);
    meter.add(piece->bytes.size());
  }
}

}  // namespace moraine::model
