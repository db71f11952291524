#include "backend/vulkan/weights.h"

#include "quant/format.h"

namespace moraine::vulkan {

bool runs_on_vulkan(const plan::Weight& w) { return quant::find(w.dtype) != nullptr; }

uint64_t device_bytes(const plan::Weight& w) { return device_offset(w, w.rows); }

uint64_t device_offset(const plan::Weight& w, int32_t first_row) {
  return sizeof(float) * w.cols * static_cast<uint64_t>(first_row);
}

void pack_rows(const plan::Weight& w, int32_t n_rows, const uint8_t* from, uint8_t* to) {
  const size_t n_blocks = static_cast<size_t>(n_rows) * w.cols / info(w.dtype).block_len;
  quant::find(w.dtype)->unpack_blocks(from, n_blocks, reinterpret_cast<float*>(to));
}

}  // namespace moraine::vulkan
