// Where keys, values and recurrent states lie in a sequence's memory on the device. Pages are as the CPU's
// (backend/cpu/kernels/scalar/attention.cpp); a state's S lies as StateShape has it. Who reads them so is
// shaders/; where pages and states are is backend.h.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/backend.h"

namespace moraine::vulkan {

// Offsets in bytes from a page's begin.
struct KvLayout {
  struct Layer {
    uint64_t k = 0, v = 0;            // of the first head
    uint64_t k_head = 0, v_head = 0;  // bytes of one head
  };
  std::vector<Layer> layers;
  uint64_t page_bytes = 0;
};
// Throws Error{kUnsupported}: q8_0 with heads that are no whole number of its blocks.
KvLayout lay_out_kv(const plan::KvShape& shape, KvType k, KvType v);

// Offsets in bytes from a state's begin. A new state is all zeros.
struct StateLayout {
  struct Layer {
    uint64_t s = 0;       // float32 [n_heads][head_v][head_k]
    uint64_t inputs = 0;  // float32 [n_inputs][n_channels], oldest first
  };
  std::vector<Layer> layers;
  uint64_t state_bytes = 0;  // 0: the model has none
};
StateLayout lay_out_state(const plan::StateShape& shape);

}  // namespace moraine::vulkan
