// Where keys, values and recurrent states lie in a sequence's memory on the device. Pages are as the CPU's
// (backend/cpu/kernels/scalar/attention.cpp); a state's S lies as StateShape has it. Who reads them so is
// shaders/; where pages and states are is backend.h.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/kv_layout.h"

namespace moraine::vulkan {

// Throws Error{kUnsupported}: as plan::lay_out_kv.
plan::KvLayout lay_out_pages(const plan::KvShape& shape, KvType k, KvType v);

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
