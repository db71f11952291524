// How a weight lies in device memory: the bytes of a row there, and the way from a file's rows to them.
// Who reads them so is shaders/; where they lie is backend.h.
#pragma once

#include <cstdint>

#include "plan/plan.h"

namespace moraine::vulkan {

bool runs_on_vulkan(const plan::Weight& w);
uint64_t device_bytes(const plan::Weight& w);                      // of the whole weight
uint64_t device_offset(const plan::Weight& w, int32_t first_row);  // of that row
// The file's rows, one after another, to device rows likewise. `to` may be uncached: it is written once, in
// order, and never read.
void pack_rows(const plan::Weight& w, int32_t n_rows, const uint8_t* from, uint8_t* to);

}  // namespace moraine::vulkan
