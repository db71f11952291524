#include "model/weight_reader.h"

#include <moraine/error.h>

#include <algorithm>
#include <span>
#include <system_error>

namespace moraine::model {
namespace {

constexpr uint64_t kPieceBytes = 4 << 20;
constexpr uint64_t kRowGranularity = 8;

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

WeightReader::WeightReader(const gguf::File& file, const std::vector<plan::Weight>& weights)
    : file_(file), weights_(weights), reader_(file) {
  try {
    thread_ = std::thread([this] { read_all(); });
  } catch (const std::system_error& e) {
    throw Error(ErrorCode::kUnavailable, "The system refused a thread to read the model with (" +
                                             e.code().message() +
                                             "). End other programs, or raise the limit on processes.");
  }
}

WeightReader::~WeightReader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

const WeightReader::Piece* WeightReader::next() {
  std::unique_lock lock(mutex_);
  if (holds_one_) ++n_taken_;
  holds_one_ = false;
  changed_.notify_all();
  changed_.wait(lock, [this] { return n_read_ > n_taken_ || at_end_; });
  if (n_read_ > n_taken_) {
    holds_one_ = true;
    return &pieces_[n_taken_ % 2];
  }
  if (error_) std::rethrow_exception(error_);
  return nullptr;
}

void WeightReader::read_all() {
  try {
    for (size_t id = 0; id < weights_.size(); ++id) read_weight(id);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
  }
  const std::lock_guard lock(mutex_);
  at_end_ = true;
  changed_.notify_all();
}

void WeightReader::read_weight(size_t id) {
  const plan::Weight& w = weights_[id];
  const gguf::TensorInfo& t = file_.tensor(w.name);
  const uint64_t row_bytes = t.row_bytes(), n_rows = static_cast<uint64_t>(w.rows);
  const uint64_t most = std::max(kPieceBytes / row_bytes / kRowGranularity, uint64_t{1}) * kRowGranularity;
  Rows rows(w, t.n_rows());
  for (uint64_t row = 0; row < n_rows; row += most) {
    Piece* const piece = wait_for_room();
    if (piece == nullptr) return;
    piece->weight = id;
    piece->row = row;
    piece->n = std::min(most, n_rows - row);
    piece->bytes.resize(piece->n * row_bytes);
    for (uint64_t filled = 0; filled < piece->n;) {
      const plan::RowRange r = rows.next(static_cast<int32_t>(piece->n - filled));
      reader_.read(t, r.first * row_bytes,
                   std::span(piece->bytes).subspan(filled * row_bytes, r.n * row_bytes));
      filled += r.n;
    }
    const std::lock_guard lock(mutex_);
    ++n_read_;
    changed_.notify_all();
  }
  // Weights that are parts of one tensor follow each other: its pages are kept for the next part.
  if (id + 1 == weights_.size() || weights_[id + 1].name != w.name) reader_.drop_cache(t, 0, t.size_bytes);
}

WeightReader::Piece* WeightReader::wait_for_room() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return n_read_ - n_taken_ < 2 || stop_; });
  return stop_ ? nullptr : &pieces_[n_read_ % 2];
}

}  // namespace moraine::model
