// Where keys and values of each layer and head lie in a page, whatever device holds it. How one head's lie is
// backend/cpu/kernels/scalar/attention.cpp.
#pragma once

#include <cstdint>
#include <vector>

#include "plan/backend.h"

namespace moraine::plan {

// Bytes of n values, a whole number of the type's blocks.
uint64_t kv_bytes(KvType t, uint64_t n);

// Offsets in bytes from a page's begin.
struct KvLayout {
  struct Layer {
    uint64_t k = 0, v = 0;            // of the first head
    uint64_t k_head = 0, v_head = 0;  // bytes of one head
  };
  std::vector<Layer> layers;
  uint64_t page_bytes = 0;
};
// Throws Error{kUnsupported}: a type of blocks with heads that are no whole number of them.
KvLayout lay_out_kv(const KvShape& shape, KvType k, KvType v);

}  // namespace moraine::plan
