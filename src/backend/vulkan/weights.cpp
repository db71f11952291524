#include "backend/vulkan/weights.h"

#include <algorithm>
#include <cstring>

#include "quant/format.h"
#include "quant/interleave.h"

namespace moraine::vulkan {
namespace {

constexpr size_t kPieceBytes = 8 << 10;

int64_t groups_of(int32_t n_rows) { return (int64_t{n_rows} + kGroupRows - 1) / kGroupRows; }

}  // namespace

bool runs_on_vulkan(const plan::Weight& w) {
  return w.role == plan::WeightRole::kVector ? quant::find(w.dtype) != nullptr
                                             : quant::find_layout(w.dtype) != nullptr;
}

uint64_t device_bytes(const plan::Weight& w) {
  return device_offset(
      w, w.role == plan::WeightRole::kVector ? w.rows : static_cast<int32_t>(groups_of(w.rows) * kGroupRows));
}

uint64_t device_offset(const plan::Weight& w, int32_t first_row) {
  return w.role == plan::WeightRole::kVector ? sizeof(float) * w.cols * uint64_t(first_row)
                                             : dtype_bytes(w.dtype, w.cols) * first_row;
}

void pack_rows(const plan::Weight& w, int32_t n_rows, const uint8_t* from, uint8_t* to) {
  const DTypeInfo& type = info(w.dtype);
  const size_t blocks_of_row = w.cols / type.block_len, row_bytes = blocks_of_row * type.block_bytes;
  if (w.role == plan::WeightRole::kVector) {
    quant::find(w.dtype)->unpack_blocks(from, blocks_of_row * n_rows, reinterpret_cast<float*>(to));
    return;
  }
  // A few blocks of eight rows at a time, so that scattered bytes go to the cache and whole lines to the
  // device.
  uint8_t piece[kPieceBytes];
  const size_t column_bytes = size_t{kGroupRows} * type.block_bytes;
  const size_t step = kPieceBytes / column_bytes;
  for (int64_t g = 0; g < groups_of(n_rows); ++g)
    for (size_t b = 0; b < blocks_of_row; b += step) {
      const size_t n = std::min(step, blocks_of_row - b);
      const uint8_t* rows[kGroupRows];
      for (int r = 0; r < kGroupRows; ++r) {
        const int64_t row = g * kGroupRows + r;
        rows[r] = row < n_rows ? from + row * row_bytes + b * type.block_bytes : nullptr;
      }
      quant::find_layout(w.dtype)->interleave(rows, n, piece);
      std::memcpy(to, piece, n * column_bytes);
      to += n * column_bytes;
    }
}

}  // namespace moraine::vulkan
