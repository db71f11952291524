// Reads the rows that weights are made of, in the weights' order, on a thread of its own: while the backend
// lays one piece out, the next is read. Two bounce buffers; the page cache is dropped behind.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "gguf/reader.h"
#include "gguf/tensor_reader.h"
#include "plan/plan.h"

namespace moraine::model {

class WeightReader {
 public:
  // Rows [row, row + n) of a weight, as they lie in the file. All but a weight's last piece have a multiple
  // of eight rows, as backends lay out eight together.
  struct Piece {
    size_t weight;
    uint64_t row, n;
    std::vector<std::byte> bytes;
  };

  // `weights` must stay. Throws what opening the file throws, and Error{kUnavailable} where the system
  // refuses a thread.
  WeightReader(const gguf::File& file, const std::vector<plan::Weight>& weights);
  ~WeightReader();
  WeightReader(const WeightReader&) = delete;
  WeightReader& operator=(const WeightReader&) = delete;

  // The next piece, which stays as it is until the next call; null behind the last. Throws what reading
  // threw.
  const Piece* next();

 private:
  void read_all();
  void read_weight(size_t id);
  Piece* wait_for_room();  // null: nobody wants more

  const gguf::File& file_;
  const std::vector<plan::Weight>& weights_;
  gguf::TensorReader reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Piece pieces_[2] = {};               // by turns
  uint64_t n_read_ = 0, n_taken_ = 0;  // pieces read, and given back
  bool holds_one_ = false;             // the caller has piece n_taken_
  bool at_end_ = false, stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace moraine::model
